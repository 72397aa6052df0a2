"""What all tests share."""

from hypothesis import HealthCheck, settings

# A busy machine is no failure, and a property that failed once must fail again on the next machine.
settings.register_profile("pipelab", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pipelab")
