-- Lists the users.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "common.lua")
wrk.path = "/users"
