"""One file a stage; `catalogue` says what each is, `pipeline` puts them in order."""
