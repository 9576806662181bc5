# Empty the description of a package if it contains an address. No tool reads it: a lock is for names, versions and hashes.
/^description = .*[a-z]\.(org|com|io|dev|net)/s/=.*/= ""/
