-- Indices of which workers could start nothing of the user's: the submission that failed last, how often that was so, on
-- which machines (JSON), until when those are passed over, epoch seconds, and why the last one could not.
CREATE TABLE worker_faults (
    uid        TEXT NOT NULL,
    idx        INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    submission INTEGER NOT NULL,
    times      INTEGER NOT NULL,
    machines   TEXT NOT NULL,
    until      INTEGER NOT NULL,
    why        TEXT NOT NULL,
    PRIMARY KEY (uid, idx)
) WITHOUT ROWID;
