//! Names for what lies outside: databases, buckets, queues.

use crate::error::{self, Error};
use crate::run;
use crate::worker::Worker;

/// Names for outside resources that nobody else derives: each is this run's, this worker's and its base's own, and
/// keeps to its system's rules of length and letters.
///
/// A name has a part for people (the base, the worker) and one that makes it unique, a hash of run, worker and base:
/// `shop_w0_hkbgqz3g761xj0`. The part for people is cut to fit, the hash never. The same test in the same lane of
/// the same run gets the same name in every process; nothing else goes into it.
///
/// ```
/// let names = cofferdam::Names::current();
/// let database = names.postgres_database("shop");
/// assert!(database.starts_with("shop_") && database.len() <= 63);
/// assert_eq!(database, names.postgres_database("shop"));
/// assert_ne!(database, names.postgres_database("archive"));
/// ```
///
/// Workers are unique in a run and runs on a machine, and nextest's everywhere. Where machines share a server and
/// name their runs by `COFFERDAM_RUN_ID`, they must name them differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    run: String,
    /// `None` for what the run's workers share.
    worker: Option<String>,
}

impl Names {
    /// Names for the worker that this thread works for.
    ///
    /// # Panics
    /// On a thread that no worker was handed to; [`try_current`](Self::try_current) returns that as an error.
    #[track_caller]
    pub fn current() -> Self {
        error::or_panic(Self::try_current())
    }

    /// Names for the worker that this thread works for.
    ///
    /// # Errors
    /// As [`Worker::try_current`].
    pub fn try_current() -> Result<Self, Error> {
        Worker::try_current().map(|worker| Self::of(&worker))
    }

    /// Names for this worker.
    pub fn of(worker: &Worker) -> Self {
        Self::new(worker.run(), Some(worker.id()))
    }

    /// Names that all workers of the run share, and no other run.
    pub fn of_run() -> Self {
        Self::new(&run::run().id, None)
    }

    fn new(run: &str, worker: Option<&str>) -> Self {
        Self {
            run: run.to_owned(),
            worker: worker.map(str::to_owned),
        }
    }

    /// A database of PostgreSQL: at most 63 bytes, letters that need no quoting, never `pg_…`.
    pub fn postgres_database(&self, base: &str) -> String {
        self.identifier(base, 63)
    }

    /// A schema of PostgreSQL; the rules are those of its databases.
    pub fn postgres_schema(&self, base: &str) -> String {
        self.identifier(base, 63)
    }

    /// A database of MySQL or MariaDB: at most 64 characters, in lower case, for some systems know no other.
    pub fn mysql_database(&self, base: &str) -> String {
        self.identifier(base, 64)
    }

    /// What to put before a table's name in a database that is shared: at most 30 characters, so that MySQL leaves
    /// 34 and PostgreSQL 33 for the table. It ends in `_`.
    pub fn table_prefix(&self, base: &str) -> String {
        self.identifier(base, 29) + "_"
    }

    /// A bucket of S3 (general purpose): 3 to 63 lower-case letters, digits and hyphens, without the beginnings that
    /// are reserved.
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

    /// What to put before an object's key in a bucket of S3 that is shared. It ends in `/`.
    pub fn s3_prefix(&self, base: &str) -> String {
        self.name(base, '-', 120) + "/"
    }

    /// A bucket of Google Cloud Storage: 3 to 63 lower-case letters, digits and hyphens; neither `goog` nor what
    /// looks like it.
    pub fn gcs_bucket(&self, base: &str) -> String {
        let name = self.name(base, '-', 63);
        if name.replace('0', "o").contains("goog") {
            // The parts for people are left out. Of the hash, also of `g00g00g`, nothing is: it gets a hyphen, which no
            // other has.
            let hash = self.hash(base).replace("g00", "g0-0");
            Self::new(&self.run, None).with_readable("bucket", &hash, '-', 63)
        } else {
            name
        }
    }

    /// What to put before an object's name in a bucket of Google Cloud Storage that is shared. It ends in `/`.
    pub fn gcs_prefix(&self, base: &str) -> String {
        self.name(base, '-', 120) + "/"
    }

    /// What to put before a key of Redis. It ends in `:`, has nothing in it that `SCAN … MATCH` takes for a pattern,
    /// and no hash tag.
    pub fn redis_prefix(&self, base: &str) -> String {
        self.name(base, '-', 120) + ":"
    }

    /// A queue of SQS, which fits RabbitMQ, and Kafka as a topic, too: at most 75 letters, digits and hyphens, so
    /// that `.fifo` may follow.
    pub fn queue(&self, base: &str) -> String {
        self.name(base, '-', 75)
    }

    /// A name that databases take for one without quotes.
    fn identifier(&self, base: &str, longest: usize) -> String {
        let name = self.name(base, '_', longest - 2);
        if name.starts_with("pg_") || name.starts_with(|first: char| first.is_ascii_digit()) {
            format!("t_{name}")
        } else {
            name
        }
    }

    /// Base, worker and hash, of lower-case letters, digits and single separators, at most so long.
    fn name(&self, base: &str, separator: char, longest: usize) -> String {
        self.with_readable(base, &self.hash(base), separator, longest)
    }

    fn with_readable(&self, base: &str, hash: &str, separator: char, longest: usize) -> String {
        let room = longest - hash.len() - 1;
        let worker = self
            .worker
            .as_deref()
            .map(|worker| plain(worker, separator, room / 3))
            .unwrap_or_default();
        let base = plain(base, separator, room - worker.len() - 1);
        let mut name = String::with_capacity(longest);
        for part in [base.as_str(), &worker, hash] {
            if !name.is_empty() && !part.is_empty() {
                name.push(separator);
            }
            name.push_str(part);
        }
        name
    }

    /// What makes a name unique: 64 bits of run, worker and base, in letters of which no word is made.
    fn hash(&self, base: &str) -> String {
        let mut hash = FNV_START;
        for part in [Some(self.run.as_str()), self.worker.as_deref(), Some(base)] {
            // Lengths keep the parts apart; a worker that is not there differs from one without a name.
            hash = fnv(
                hash,
                &part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes(),
            );
            hash = fnv(hash, part.unwrap_or_default().as_bytes());
        }
        // Like texts get like hashes up to here.
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

/// No vowels: neither a word that is reserved nor one that offends comes of them. What looks like one may: `g00g`.
const LETTERS: &[u8; 30] = b"0123456789bcdfghjklmnpqrstvwxz";

/// As many as 64 bits need.
const DIGITS: usize = 14;

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: the same on every machine and in every build.
fn fnv(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The text in lower-case letters and digits, with single separators between them, at most so long.
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
            // What people do with it.
            names.queue(base) + ".fifo",
        ]
    }

    #[test]
    fn a_name_can_be_read() {
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
    fn reserved_beginnings_are_written_around() {
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
    fn a_hash_that_looks_like_google_is_written_apart() {
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

    fn names() -> impl Strategy<Value = Names> {
        let worker = prop_oneof![
            Just(None),
            "(j[0-9]{1,3}\\.)?w[0-9]{1,3}|[A-Za-z0-9._-]{1,64}".prop_map(Some)
        ];
        ("[a-z0-9%.-]{1,64}", worker).prop_map(|(run, worker)| Names { run, worker })
    }

    proptest! {
        #[test]
        fn every_name_keeps_to_its_systems_rules(names in names(), base in base()) {
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
        fn names_differ_as_their_run_worker_or_base_do(
            one in names(), other in names(), base in base(), another in base()
        ) {
            let same_owner = Names { run: one.run.clone(), worker: other.worker.clone() };
            for (names, wanted) in [(&one, base.as_str()), (&one, &another), (&other, &base), (&same_owner, &base)] {
                let same = *names == one && wanted == base;
                for (first, second) in all(&one, &base).iter().zip(all(names, wanted)) {
                    prop_assert_eq!(*first == second, same, "{} {}", first, second);
                }
            }
        }
    }
}
