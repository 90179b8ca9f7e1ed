-- nothing
/* at all; */
-- /* really
/* /* ; */ */
