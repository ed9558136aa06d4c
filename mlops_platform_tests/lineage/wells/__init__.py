"""A third, tiny project: how high will the water stand in a well on this day and the next two?"""
