"""Drawing and sounding the stand-in corpora."""
