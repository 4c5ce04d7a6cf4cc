-- Which boot of which host started the tool of a submission, and when that tool is dead at the latest,
-- epoch seconds. Rows of earlier releases have none of these.
ALTER TABLE intents ADD COLUMN boot TEXT;
ALTER TABLE intents ADD COLUMN host TEXT;
ALTER TABLE intents ADD COLUMN deadline INTEGER;

-- Indices that HTCondor has refused alone, and since when, epoch seconds: they are tried again for a while.
CREATE TABLE refused (
    uid   TEXT NOT NULL,
    idx   INTEGER NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (uid, idx)
) WITHOUT ROWID;
