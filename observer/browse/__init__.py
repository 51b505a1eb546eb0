"""What did the policy write? The kept completions of a run, group by group, on one page; trains nothing."""
