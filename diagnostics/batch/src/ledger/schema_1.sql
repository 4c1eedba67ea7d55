-- Times are microseconds since 1970.
CREATE TABLE sessions (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL UNIQUE,
    namespace    TEXT    NOT NULL,
    scope        TEXT    NOT NULL,
    triggered_by TEXT    NOT NULL CHECK (triggered_by IN ('user', 'ci', 'program')),
    status       TEXT    NOT NULL CHECK (status IN ('pending', 'running', 'passed', 'failed', 'cancelled', 'abandoned')),
    beside       INTEGER NOT NULL CHECK (beside IN (0, 1)),
    takes_jobs   INTEGER NOT NULL DEFAULT 1 CHECK (takes_jobs IN (0, 1)),
    pid          INTEGER NOT NULL,
    pid_started  INTEGER NOT NULL,
    host         TEXT    NOT NULL,
    revision     TEXT,
    resumes      INTEGER REFERENCES sessions (id) ON DELETE SET NULL,
    started      INTEGER NOT NULL,
    ended        INTEGER,
    gap          INTEGER NOT NULL DEFAULT 0 CHECK (gap IN (0, 1)),
    -- The number of jobs in each state, counted by the triggers below.
    jobs         INTEGER NOT NULL DEFAULT 0,
    running      INTEGER NOT NULL DEFAULT 0,
    completed    INTEGER NOT NULL DEFAULT 0,
    failed       INTEGER NOT NULL DEFAULT 0,
    cancelled    INTEGER NOT NULL DEFAULT 0,
    interrupted  INTEGER NOT NULL DEFAULT 0,
    conflicts    INTEGER
) STRICT;

-- A namespace has one active session, not counting concurrent ones.
CREATE UNIQUE INDEX one_active_session ON sessions (namespace) WHERE status IN ('pending', 'running') AND beside = 0;
CREATE INDEX active_sessions ON sessions (namespace) WHERE status IN ('pending', 'running');

CREATE TABLE jobs (
    session   INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    number    INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    "group"   TEXT,
    state     TEXT    NOT NULL
        CHECK (state IN ('pending', 'running', 'completed', 'failed', 'cancelled', 'interrupted')),
    submitted INTEGER NOT NULL DEFAULT 0 CHECK (submitted IN (0, 1)),
    -- The job had ended in the session that this one continues.
    carried   INTEGER NOT NULL DEFAULT 0 CHECK (carried IN (0, 1)),
    -- The file below the base folder that describes a submitted job which has not ended.
    spec      TEXT,
    PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX running_jobs ON jobs (session, number) WHERE state = 'running';
CREATE INDEX submitted_jobs ON jobs (session, number) WHERE submitted = 1;

CREATE TRIGGER job_added AFTER INSERT ON jobs BEGIN
    UPDATE sessions SET
        jobs        = jobs + 1,
        running     = running     + (new.state = 'running'),
        completed   = completed   + (new.state = 'completed'),
        failed      = failed      + (new.state = 'failed'),
        cancelled   = cancelled   + (new.state = 'cancelled'),
        interrupted = interrupted + (new.state = 'interrupted')
    WHERE id = new.session;
END;

CREATE TRIGGER job_moved AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN
    UPDATE sessions SET
        running     = running     + (new.state = 'running')     - (old.state = 'running'),
        completed   = completed   + (new.state = 'completed')   - (old.state = 'completed'),
        failed      = failed      + (new.state = 'failed')      - (old.state = 'failed'),
        cancelled   = cancelled   + (new.state = 'cancelled')   - (old.state = 'cancelled'),
        interrupted = interrupted + (new.state = 'interrupted') - (old.state = 'interrupted')
    WHERE id = new.session;
END;

CREATE TABLE attempts (
    session   INTEGER NOT NULL,
    job       INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    state     TEXT    NOT NULL CHECK (state IN ('running', 'completed', 'failed', 'cancelled', 'interrupted')),
    exit_code INTEGER,
    signal    INTEGER,
    reason    TEXT,
    started   INTEGER NOT NULL,
    ended     INTEGER,
    memory    INTEGER,
    log       TEXT,
    PRIMARY KEY (session, job, number),
    FOREIGN KEY (session, job) REFERENCES jobs (session, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE conflicts (
    session  INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    severity TEXT    NOT NULL,
    message  TEXT    NOT NULL,
    mend     TEXT    NOT NULL,
    PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID;
