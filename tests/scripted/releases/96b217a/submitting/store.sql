CREATE TABLE htcjobs (
    htcjobName TEXT,
    jobId      TEXT,     -- cluster.proc
    status     INTEGER,  -- 1 active, 4 succeeded, 7 failed; +10 once its files are home
    tempDir    TEXT,     -- the folder the job was submitted from
    uniqid     TEXT
, uid TEXT, idx INTEGER, attempt INTEGER, submission INTEGER, intent INTEGER, ending TEXT, published INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX htcjobs_key ON htcjobs (uid, idx, attempt, submission);
CREATE INDEX htcjobs_intent ON htcjobs (intent) WHERE intent IS NOT NULL;
CREATE TABLE wishes (
    uid        TEXT PRIMARY KEY,
    door       TEXT NOT NULL,     -- who wishes: htcjob, node, interlink
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    workload   TEXT,              -- JSON; none in a tombstone
    want       TEXT NOT NULL,     -- run, gone, tombstone
    since      INTEGER NOT NULL,  -- when it came to want that, epoch seconds
    not_before INTEGER NOT NULL   -- nothing is submitted before, epoch seconds
, inherited INTEGER NOT NULL DEFAULT 0, collected INTEGER) WITHOUT ROWID;
CREATE TABLE waiting (
    uid        TEXT NOT NULL,
    first      INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    submission INTEGER NOT NULL,
    PRIMARY KEY (uid, first)
) WITHOUT ROWID;
CREATE TABLE intents (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    created INTEGER NOT NULL      -- epoch seconds
);
CREATE TABLE inbox (
    uid        TEXT NOT NULL,
    idx        INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    submission INTEGER NOT NULL,
    start      INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    body       TEXT NOT NULL,     -- JSON
    PRIMARY KEY (uid, idx, attempt, submission)
) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO facts (name, value) VALUES ('born', '1795972517');
INSERT INTO htcjobs (htcjobName, jobId, status, tempDir, uniqid, uid, idx, attempt, submission, intent, ending, published) VALUES ('burst', '1.0', 1, '@HERE@/data/jobs/burst/0.0.0', 'burst', 'burst', 0, 0, 0, 1, NULL, 0);
INSERT INTO htcjobs (htcjobName, jobId, status, tempDir, uniqid, uid, idx, attempt, submission, intent, ending, published) VALUES ('burst', NULL, 1, '@HERE@/data/jobs/burst/1.0.0', 'burst', 'burst', 1, 0, 0, 2, NULL, 0);
INSERT INTO htcjobs (htcjobName, jobId, status, tempDir, uniqid, uid, idx, attempt, submission, intent, ending, published) VALUES ('burst', NULL, 1, '@HERE@/data/jobs/burst/2.0.0', 'burst', 'burst', 2, 0, 0, 3, NULL, 0);
INSERT INTO intents (id, created) VALUES (1, 1795972517);
INSERT INTO intents (id, created) VALUES (2, 1795972517);
INSERT INTO intents (id, created) VALUES (3, 1795972518);
INSERT INTO sqlite_sequence (name, seq) VALUES ('intents', 3);
INSERT INTO waiting (uid, first, last, attempt, submission) VALUES ('accepted', 0, 0, 0, 0);
INSERT INTO waiting (uid, first, last, attempt, submission) VALUES ('burst', 3, 4, 0, 0);
INSERT INTO wishes (uid, door, namespace, name, workload, want, since, not_before, inherited, collected) VALUES ('accepted', 'interlink', 'default', 'accepted', '{"name":"accepted","indices":1,"init_containers":[],"containers":[{"name":"main","image":{"apptainer":"docker://registry.example.org/tool:1"},"pull":"ifNotPresent","program":{"entryPoint":[{"text":"--fast"}]},"env":[{"name":"PASSWORD","value":"hunter2"}],"workingDir":null,"mounts":[]}],"volumes":[],"grace_seconds":30,"folder_variable":null,"restart_after_eviction":false,"submit":[]}', 'run', 1795972518, 1795972518, 0, NULL);
INSERT INTO wishes (uid, door, namespace, name, workload, want, since, not_before, inherited, collected) VALUES ('burst', 'htcjob', 'default', 'burst', '{"name":"burst","indices":5,"init_containers":[],"containers":[{"name":"main","image":"host","pull":"ifNotPresent","program":{"words":[{"text":"true"}]},"env":[],"workingDir":null,"mounts":[]}],"volumes":[],"grace_seconds":30,"folder_variable":null,"restart_after_eviction":true,"submit":[]}', 'run', 1795972517, 1795972517, 0, NULL);
PRAGMA user_version = 3;
