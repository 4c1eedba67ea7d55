//! Names for external resources: databases, buckets, queues.

use crate::error::{self, Error};
use crate::run;
use crate::worker::Worker;
use std::path::Path;

/// Unique names for external resources: each differs by run, worker and base, if required by test, and conforms to its system's limits of length
/// and characters.
///
/// A name consists of a readable part (the base, the worker) and a hash of run, worker and base that makes it unique:
/// `shop_w0_hkbgqz3g761xj0`. The readable part is truncated to fit, the hash never. The same worker of the same run gets the
/// same name in every process; nothing else is part of it.
///
/// ```
/// let names = cofferdam::Names::current();
/// let database = names.postgres_database("shop");
/// assert!(database.starts_with("shop_") && database.len() <= 63);
/// assert_eq!(database, names.postgres_database("shop"));
/// assert_ne!(database, names.postgres_database("archive"));
/// ```
///
/// Workers are unique in a run, runs on a machine, and nextest's runs everywhere. Machines that share a server and set
/// `COFFERDAM_RUN_ID` must use different values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    run: String,
    /// `None` for resources that the run's workers share.
    worker: Option<String>,
    /// `None` for resources that the worker's tests share.
    test: Option<TestName>,
}

/// The test that names are for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TestName {
    /// Its function, for the readable part.
    function: String,
    /// Unique among the tests of the worker.
    key: String,
}

impl Names {
    /// Returns names for the worker of this thread.
    ///
    /// # Panics
    /// On the error that [`try_current`](Self::try_current) returns.
    #[track_caller]
    pub fn current() -> Self {
        error::or_panic(Self::try_current())
    }

    /// Returns names for the worker of this thread.
    ///
    /// # Errors
    /// Like [`Worker::try_current`].
    pub fn try_current() -> Result<Self, Error> {
        Worker::try_current().map(|worker| Self::of(&worker))
    }

    /// Returns names for this worker.
    pub fn of(worker: &Worker) -> Self {
        Self::new(worker.run(), Some(worker.id()))
    }

    /// Returns names for the test that this worker executes: new for each test and each attempt, also where a worker's tests
    /// leave their resources behind.
    ///
    /// ```
    /// use cofferdam::{Names, Worker};
    /// let names = Names::of_test(&Worker::current());
    /// let queue = names.queue("orders");
    /// assert_eq!(queue, Names::of_test(&Worker::current()).queue("orders"));
    /// assert_ne!(queue, Names::current().queue("orders"));
    /// ```
    pub fn of_test(worker: &Worker) -> Self {
        let facts = run::facts();
        // Two binaries of a run may have tests with one path.
        let binary = facts.exe.as_deref().unwrap_or(Path::new("")).display();
        // A stress run of nextest repeats tests within one run, each time from attempt 1.
        let iteration = (facts.env)("NEXTEST_STRESS_CURRENT").unwrap_or_default();
        let test = match worker.test() {
            Some(path) => TestName {
                function: path.rsplit("::").next().unwrap_or(path).to_owned(),
                key: format!("{binary} {path} {} {iteration}", worker.attempt()),
            },
            // Its path is unknown, so it is identified by its execution.
            None => TestName {
                function: String::new(),
                key: format!("{binary} {} {}", facts.pid, worker.execution()),
            },
        };
        Self {
            test: Some(test),
            ..Self::of(worker)
        }
    }

    /// Returns names that all workers of the run share and no other run has.
    pub fn of_run() -> Self {
        Self::new(&run::run().id, None)
    }

    fn new(run: &str, worker: Option<&str>) -> Self {
        Self {
            run: run.to_owned(),
            worker: worker.map(str::to_owned),
            test: None,
        }
    }

    /// Returns a name for a PostgreSQL database: at most 63 bytes, without the need for quotes, never `pg_…`.
    pub fn postgres_database(&self, base: &str) -> String {
        self.identifier(base, 63)
    }

    /// Returns a name for a PostgreSQL schema, with the same limits as for a database.
    pub fn postgres_schema(&self, base: &str) -> String {
        self.identifier(base, 63)
    }

    /// Returns a name for a MySQL or MariaDB database: at most 64 characters, in lower case, because on some systems case
    /// is not preserved.
    pub fn mysql_database(&self, base: &str) -> String {
        self.identifier(base, 64)
    }

    /// Returns a prefix for table names in a shared database: at most 30 characters, which leaves 34 for the table in MySQL
    /// and 33 in PostgreSQL. It ends in `_`.
    pub fn table_prefix(&self, base: &str) -> String {
        self.identifier(base, 29) + "_"
    }

    /// Returns a name for a general-purpose S3 bucket: 3 to 63 lower-case letters, digits and hyphens, without the reserved
    /// prefixes.
    pub fn s3_bucket(&self, base: &str) -> String {
        let name = self.name(base, '-', 61);
        if ["amzn-s3-demo-", "sthree-", "xn-"]
            .iter()
            .any(|reserved| name.starts_with(reserved))
        {
            format!("t-{name}")
        } else {
            name
        }
    }

    /// Returns a prefix for object keys in a shared S3 bucket. It ends in `/`.
    pub fn s3_prefix(&self, base: &str) -> String {
        self.name(base, '-', 120) + "/"
    }

    /// Returns a name for a Google Cloud Storage bucket: 3 to 63 lower-case letters, digits and hyphens, without `goog` or
    /// anything similar to it.
    pub fn gcs_bucket(&self, base: &str) -> String {
        let name = self.name(base, '-', 63);
        if name.replace('0', "o").contains("goog") {
            // Omits the readable part. The hash stays complete, but gets a hyphen, which no other hash has.
            let hash = self.hash(base).replace("g00", "g0-0");
            Self::new(&self.run, None).with_readable("bucket", &hash, '-', 63)
        } else {
            name
        }
    }

    /// Returns a prefix for object names in a shared Google Cloud Storage bucket. It ends in `/`.
    pub fn gcs_prefix(&self, base: &str) -> String {
        self.name(base, '-', 120) + "/"
    }

    /// Returns a prefix for Redis keys. It ends in `:` and contains no pattern of `SCAN … MATCH` and no hash tag.
    pub fn redis_prefix(&self, base: &str) -> String {
        self.name(base, '-', 120) + ":"
    }

    /// Returns a name for an SQS queue, which also suits RabbitMQ and Kafka topics: at most 75 letters, digits and hyphens,
    /// so that `.fifo` may follow.
    pub fn queue(&self, base: &str) -> String {
        self.name(base, '-', 75)
    }

    /// Returns an identifier that databases accept without quotes.
    fn identifier(&self, base: &str, longest: usize) -> String {
        let name = self.name(base, '_', longest - 2);
        if name.starts_with("pg_") || name.starts_with(|first: char| first.is_ascii_digit()) {
            format!("t_{name}")
        } else {
            name
        }
    }

    /// Joins base, worker, test and hash, in lower-case letters, digits and single separators.
    fn name(&self, base: &str, separator: char, longest: usize) -> String {
        self.with_readable(base, &self.hash(base), separator, longest)
    }

    fn with_readable(&self, base: &str, hash: &str, separator: char, longest: usize) -> String {
        let room = longest - hash.len() - 1;
        let part = |text: Option<&str>, share| {
            text.map(|text| plain(text, separator, room / share))
                .unwrap_or_default()
        };
        let worker = part(self.worker.as_deref(), 3);
        let test = part(self.test.as_ref().map(|test| &*test.function), 3);
        let base = plain(
            base,
            separator,
            room - worker.len() - 1 - test.len() - usize::from(!test.is_empty()),
        );
        let mut name = String::with_capacity(longest);
        for part in [base.as_str(), &worker, &test, hash] {
            if !name.is_empty() && !part.is_empty() {
                name.push(separator);
            }
            name.push_str(part);
        }
        name
    }

    /// Returns the unique part of a name: 64 bits of run, worker, base and test, in an alphabet without vowels.
    fn hash(&self, base: &str) -> String {
        let mut hash = FNV_START;
        let owner = [Some(self.run.as_str()), self.worker.as_deref(), Some(base)];
        let test = self.test.as_ref().map(|test| Some(&*test.key));
        for part in owner.into_iter().chain(test) {
            // Lengths separate the parts; a missing worker differs from one with an empty name.
            hash = fnv(
                hash,
                &part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes(),
            );
            hash = fnv(hash, part.unwrap_or_default().as_bytes());
        }
        // Without the final mix, similar texts would have similar hashes.
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^= hash >> 33;
        let mut text = String::with_capacity(DIGITS);
        for _ in 0..DIGITS {
            text.push(char::from(LETTERS[(hash % LETTERS.len() as u64) as usize]));
            hash /= LETTERS.len() as u64;
        }
        text
    }
}

/// No vowels, so that a hash contains no reserved or offensive word. It may contain similar digits: `g00g`.
const LETTERS: &[u8; 30] = b"0123456789bcdfghjklmnpqrstvwxz";

/// The number of digits that 64 bits need.
const DIGITS: usize = 14;

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: the same on every machine and in every build.
fn fnv(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Returns the text in lower-case letters and digits with single separators, at most `longest` bytes long.
fn plain(text: &str, separator: char, longest: usize) -> String {
    let mut plain = String::with_capacity(longest);
    for letter in text.chars().map(|letter| letter.to_ascii_lowercase()) {
        if letter.is_ascii_lowercase() || letter.is_ascii_digit() {
            plain.push(letter);
        } else if !plain.is_empty() && !plain.ends_with(separator) {
            plain.push(separator);
        }
        if plain.len() >= longest {
            break;
        }
    }
    plain.truncate(longest);
    plain.trim_end_matches(separator).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(names: &Names, base: &str) -> [String; 11] {
        [
            names.postgres_database(base),
            names.postgres_schema(base),
            names.mysql_database(base),
            names.table_prefix(base),
            names.s3_bucket(base),
            names.s3_prefix(base),
            names.gcs_bucket(base),
            names.gcs_prefix(base),
            names.redis_prefix(base),
            names.queue(base),
            // A FIFO queue.
            names.queue(base) + ".fifo",
        ]
    }

    #[test]
    fn a_name_has_a_readable_part() {
        let names = Names::new("b0b0-1", Some("j2.w0"));
        for (name, start) in [
            (names.postgres_database("Shop Orders"), "shop_orders_j2_w0_"),
            (names.table_prefix("orders"), "orders_j2_"),
            (names.s3_bucket("shop/orders"), "shop-orders-j2-w0-"),
            (names.queue(""), "j2-w0-"),
            (Names::new("b0b0-1", None).queue("shop"), "shop-"),
        ] {
            assert!(name.starts_with(start), "{name}");
        }
    }

    #[test]
    fn a_name_of_a_test_has_its_function() {
        let names = Names {
            test: Some(test_name("stores_one", "shop orders::stores_one 1")),
            ..Names::new("b0b0-1", Some("w0"))
        };
        for (name, start) in [
            (names.postgres_database("shop"), "shop_w0_stores_one_"),
            (names.table_prefix("orders"), "orde_w0_stor_"),
        ] {
            assert!(name.starts_with(start), "{name}");
        }
    }

    #[test]
    fn reserved_prefixes_are_avoided() {
        let names = Names::new("r", None);
        for (name, start) in [
            (names.postgres_schema("pg_shop"), "t_pg_shop_"),
            (names.mysql_database("2024"), "t_2024_"),
            (names.s3_bucket("xn--shop"), "t-xn-shop-"),
            (names.s3_bucket("sthree-shop"), "t-sthree-shop-"),
            (names.gcs_bucket("my-Google-shop"), "bucket-"),
            (names.gcs_bucket("g00gle"), "bucket-"),
        ] {
            assert!(name.starts_with(start), "{name}");
        }
    }

    #[test]
    fn a_hash_similar_to_google_is_split() {
        let names = Names::new("r", None);
        for (base, hash, name) in [
            ("6102", "q3g47sgdhg00g0", "bucket-q3g47sgdhg0-0g0"),
            ("229873", "g00g65w6chgxh0", "bucket-g0-0g65w6chgxh0"),
        ] {
            assert_eq!(names.hash(base), hash);
            assert_eq!(names.gcs_bucket(base), name);
        }
    }

    #[test]
    fn a_name_stays_the_same_from_version_to_version() {
        let names = Names::new("b0b0-1", Some("w0"));
        assert_eq!(names.postgres_database("shop"), "shop_w0_hkbgqz3g761xj0");
    }

    fn is_of(text: &str, more: &str) -> bool {
        text.chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || more.contains(letter))
    }

    fn is_identifier(name: &str, longest: usize) -> bool {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && is_of(name, "_")
            && name.len() <= longest
            && !name.starts_with("pg_")
    }

    fn is_bucket(name: &str) -> bool {
        let ends = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        (3..=63).contains(&name.len())
            && is_of(name, "-")
            && name.starts_with(ends)
            && name.ends_with(ends)
            && !name.contains("--")
    }

    fn base() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[a-zA-Z0-9_./-]{0,200}",
            "(pg_|xn--|sthree-|amzn-s3-demo-|goog|g00gle|amq\\.|[0-9]+)[a-z-]{0,80}",
        ]
    }

    fn test_name(function: &str, key: &str) -> TestName {
        TestName {
            function: function.to_owned(),
            key: key.to_owned(),
        }
    }

    fn names() -> impl Strategy<Value = Names> {
        let worker = prop_oneof![
            Just(None),
            "(j[0-9]{1,3}\\.)?w[0-9]{1,3}|[A-Za-z0-9._-]{1,64}".prop_map(Some)
        ];
        let test = prop_oneof![
            Just(None),
            ("[a-zA-Z0-9_é]{0,80}", "[ab]{0,2}").prop_map(|(function, key)| Some(test_name(&function, &key)))
        ];
        ("[a-z0-9%.-]{1,64}", worker, test).prop_map(|(run, worker, test)| Names { run, worker, test })
    }

    proptest! {
        #[test]
        fn every_name_conforms_to_its_systems_rules(names in names(), base in base()) {
            let base = base.as_str();
            for name in [names.postgres_database(base), names.postgres_schema(base)] {
                prop_assert!(is_identifier(&name, 63), "{}", name);
            }
            let name = names.mysql_database(base);
            prop_assert!(is_identifier(&name, 64), "{}", name);
            let prefix = names.table_prefix(base);
            prop_assert!(is_identifier(&prefix, 30) && prefix.ends_with('_'), "{}", prefix);

            let bucket = names.s3_bucket(base);
            let reserved = ["xn--", "sthree-", "amzn-s3-demo-"];
            prop_assert!(is_bucket(&bucket), "{}", bucket);
            prop_assert!(!reserved.iter().any(|start| bucket.starts_with(start)), "{}", bucket);
            prop_assert!(
                !["-s3alias", "--ol-s3", "--x-s3", "--table-s3"].iter().any(|end| bucket.ends_with(end)),
                "{}", bucket
            );
            let bucket = names.gcs_bucket(base);
            prop_assert!(is_bucket(&bucket) && !bucket.replace('0', "o").contains("goog"), "{}", bucket);

            for (prefix, end) in [
                (names.s3_prefix(base), '/'), (names.gcs_prefix(base), '/'), (names.redis_prefix(base), ':'),
            ] {
                let inner = prefix.strip_suffix(end);
                prop_assert!(inner.is_some_and(|inner| is_of(inner, "-")) && prefix.len() <= 128, "{}", prefix);
            }
            let queue = names.queue(base);
            prop_assert!(is_of(&queue, "-") && queue.len() <= 75 && !queue.starts_with("amq."), "{}", queue);
        }

        #[test]
        fn names_differ_as_their_run_worker_test_or_base_do(
            one in names(), other in names(), base in base(), another in base()
        ) {
            let same_run = Names { run: one.run.clone(), ..other.clone() };
            let same_worker = Names { test: other.test.clone(), ..one.clone() };
            for (names, wanted) in [
                (&one, base.as_str()), (&one, &another), (&other, &base), (&same_run, &base), (&same_worker, &base),
            ] {
                let key = |names: &Names| names.test.as_ref().map(|test| test.key.clone());
                let is_owner = (&names.run, &names.worker, key(names)) == (&one.run, &one.worker, key(&one));
                // The function is part of the key.
                prop_assume!(!is_owner || names.test == one.test);
                let same = is_owner && wanted == base;
                for (first, second) in all(&one, &base).iter().zip(all(names, wanted)) {
                    prop_assert_eq!(*first == second, same, "{} {}", first, second);
                }
            }
        }
    }
}
