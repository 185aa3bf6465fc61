"""What holds for all tests: a property test fails for what is wrong, never for how long a busy machine took."""

from hypothesis import settings

settings.register_profile("seqloom", deadline=None, print_blob=True)
settings.load_profile("seqloom")
