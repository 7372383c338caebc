"""What onesocket costs, measured beside its peers in the same run; nothing of this is shipped."""
