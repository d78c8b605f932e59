"""What stands behind `pytest_mesa.plugin`, imported when ``--mesa-predictions`` is given."""
