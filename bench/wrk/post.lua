-- Posts messages, each with another text.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "common.lua")

function request()
   return post()
end
