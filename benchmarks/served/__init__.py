"""The parts of the benchmark ``serving``: what is asked, who asks, and the two services that answer."""
