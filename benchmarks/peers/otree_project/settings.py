"""oTree's settings, which it imports under this name from the folder in which it runs."""

SESSION_CONFIGS = [{"name": "phq9", "app_sequence": ["phq9"], "num_demo_participants": 1}]
SESSION_CONFIG_DEFAULTS = {"real_world_currency_per_point": 1.00, "participation_fee": 0.00, "doc": ""}
LANGUAGE_CODE = "en"
REAL_WORLD_CURRENCY_CODE = "USD"
SECRET_KEY = "benchmark"  # noqa: S105 - it protects nothing
