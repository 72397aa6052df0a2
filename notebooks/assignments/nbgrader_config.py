"""For nbgrader, which is started in this folder: `nbgrader generate_assignment fill-the-bubbles`, and so on."""

c = get_config()
c.CourseDirectory.course_id = "pipelab"
c.Execute.timeout = 300  # seconds for a cell: one runs on real ranks, and the machine may be busy
