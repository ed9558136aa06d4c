"""Contract packs: what each plug-in must do, as tests that a project of your own can run on its own plug-ins."""
