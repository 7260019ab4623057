-- When a run was deleted, ms since 1970: what `tidemill gc --older-than` goes by. NULL: active, or deleted before
-- this was kept.
ALTER TABLE runs ADD COLUMN deleted_time INTEGER;
