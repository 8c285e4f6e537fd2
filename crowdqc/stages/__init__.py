"""The pipeline: what each command does, which stages it needs, and when it must run again."""
