-- The guard of member updates for Envoy, after jwt_authn has checked the token's signature and end.
--
-- Envoy's Lua has no JSON parser: a body is taken that is an object of one status, and no other. That is less work than
-- parsing any object.

local OWNER_TIME = 60
local MAX_BODY = 65536
local STATUSES = { pending = true, accepted = true, rejected = true }
local HEX = "%x%x%x%x"
local UUID = "^" .. HEX .. HEX .. "%-" .. HEX .. "%-" .. HEX .. "%-" .. HEX .. "%-" .. HEX .. HEX .. HEX .. "$"

-- image → its owner and when that is to be asked again; one a worker
local owners = {}

local function refuse(handle, status)
  handle:respond({ [":status"] = status, ["content-type"] = "application/json" }, "{}")
end

local function owner_of(handle, image)
  local known = owners[image]
  local now = os.time()
  if known and known.ends > now then
    return known.owner
  end
  local headers, body = handle:httpCall("glance", {
    [":method"] = "GET", [":path"] = "/v2/images/" .. image, [":authority"] = "glance",
    ["x-auth-token"] = "the-guard's-own", ["accept"] = "application/json",
  }, "", 5000)
  local owner = headers[":status"] == "200" and body:match('"owner"%s*:%s*"([%w_-]+)"')
  if owner then
    owners[image] = { owner = owner, ends = now + OWNER_TIME }
  end
  return owner
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get(":path")
  local image, member = path:match("^/v2/images/([^/]+)/members/([%w_-]+)$")
  if not image or not image:match(UUID) or image:match("%u") or #member > 255 then
    -- what resembles a member path is not passed on, everything else is
    if path:find("members", 1, true) or path:find("//", 1, true) or path:find("%", 1, true) or path:find("..", 1, true) then
      return refuse(handle, "404")
    end
    return
  end
  local method = headers:get(":method")
  if method ~= "PUT" then
    if method == "GET" or method == "DELETE" then
      return
    end
    return refuse(handle, "405")
  end
  local media = headers:get("content-type")
  if media and media ~= "application/json" and not media:lower():match("^application/json *;") then
    return refuse(handle, "415")
  end
  if (tonumber(headers:get("content-length")) or 0) > MAX_BODY then
    return refuse(handle, "413")
  end
  local body = handle:body()
  local length = body and body:length() or 0
  if length > MAX_BODY then
    return refuse(handle, "413")
  end
  local status = length > 0 and body:getBytes(0, length):match('^%s*{%s*"status"%s*:%s*"(%a*)"%s*}%s*$')
  if not status then
    return refuse(handle, "400")
  end

  local claims = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn")
  local project = claims and claims.claims and claims.claims.openstack_project_id
  if not project then
    return refuse(handle, "401")
  end
  local owner = owner_of(handle, image)
  if not owner then
    return refuse(handle, "503")
  end
  if owner == project then
    return refuse(handle, "403")
  end
  if project ~= member then
    return refuse(handle, "404")
  end
  if not STATUSES[status] then
    return refuse(handle, "400")
  end
end
