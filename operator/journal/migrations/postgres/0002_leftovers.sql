-- What was left of tenants that ended is looked for whenever a controller takes over.
CREATE INDEX journal_leftovers ON journal (sequence) WHERE subject = 'Leftover';
