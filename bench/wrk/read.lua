-- Reads the newest 100 messages.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "common.lua")
wrk.path = "/messages"
