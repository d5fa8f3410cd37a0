"""What a request asks for, in the words of policies: actions, resources and condition keys."""
