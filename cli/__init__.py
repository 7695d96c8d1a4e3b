"""What did the user ask for? Parse, call one function of the layers below, print."""
