"""A second, tiny project of another domain: will a pump need repair within a day of its morning inspection?"""
