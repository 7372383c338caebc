"""Measurements of onesocket beside its peers, in the same run; not shipped."""
