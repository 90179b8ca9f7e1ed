-- 014: does not stop writers; refuses a transaction, so it stands alone
CREATE INDEX CONCURRENTLY task_assignments_user_day ON task_assignments (user_id, day);
