-- Who may write: one row, bumped by each takeover.
CREATE TABLE fence (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    holder TEXT NOT NULL,
    lease_uid TEXT NOT NULL,
    transitions INTEGER NOT NULL
) STRICT;

INSERT INTO fence (id, epoch, holder, lease_uid, transitions) VALUES (1, 0, '', '', 0);

-- What happened, in the order in which it was appended. Times are Unix seconds.
CREATE TABLE journal (
    sequence INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    subscription TEXT NOT NULL,
    uid TEXT NOT NULL,
    operation INTEGER NOT NULL,
    subject TEXT NOT NULL,
    item TEXT NOT NULL,
    outcome TEXT NOT NULL,
    plan TEXT NOT NULL,
    application TEXT NOT NULL,
    version TEXT NOT NULL,
    blueprint TEXT NOT NULL,
    started_at INTEGER,
    ended_at INTEGER NOT NULL,
    machine_seconds INTEGER NOT NULL,
    people_seconds INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    actor TEXT NOT NULL,
    evidence TEXT NOT NULL
) STRICT;

CREATE INDEX journal_of_subscription ON journal (subscription, sequence);
CREATE INDEX journal_of_tenant ON journal (tenant, sequence);
-- In the order in which samples are taken.
CREATE INDEX journal_done ON journal (application, version, plan, item, ended_at DESC, sequence DESC)
    WHERE subject = 'Item' AND outcome = 'Done';
CREATE INDEX journal_completed ON journal (ended_at, sequence)
    WHERE subject = 'Operation' AND outcome = 'Completed';

CREATE TRIGGER journal_keeps_updated BEFORE UPDATE ON journal
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

CREATE TRIGGER journal_keeps_deleted BEFORE DELETE ON journal
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

-- INSERT OR REPLACE deletes rows without firing the trigger above.
CREATE TRIGGER journal_keeps_replaced BEFORE INSERT ON journal
WHEN EXISTS (SELECT 1 FROM journal WHERE id = NEW.id OR sequence = NEW.sequence)
BEGIN
    SELECT CASE
        WHEN EXISTS (SELECT 1 FROM journal WHERE id = NEW.id) THEN RAISE(IGNORE)
        ELSE RAISE(ABORT, 'the journal is append-only')
    END;
END;
