-- The guard of member updates for nginx: the same checks as the gate's, in the same order.

local cjson = require "cjson.safe"
local lrucache = require "resty.lrucache"
local jws = require "jws"

local exit = ngx.exit
local match = ngx.re.match
local find = ngx.re.find
local var = ngx.var

local VERDICT_TIME = 300
local OWNER_TIME = 60
local MAX_BODY = 65536
local STATUSES = { pending = true, accepted = true, rejected = true }

local UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
local MEMBER = "^/v2/images/(" .. UUID .. ")/members/([A-Za-z0-9_-]{1,255})(?:[?].*)?$"

-- one worker, one memory: nothing is shared, nothing is locked
local verdicts = assert(lrucache.new(20000))
local owners = assert(lrucache.new(20000))

cjson.decode_invalid_numbers(false)
cjson.decode_max_depth(16)

local function refuse(status, reason)
  var.reason = reason
  return exit(status)
end

-- Returns the image's owner, asking Glance for one that is not remembered.
local function owner_of(image)
  local owner = owners:get(image)
  if owner then
    return owner
  end
  local answer = ngx.location.capture("/.owner/" .. image)
  if answer.status == 404 then
    return refuse(404, "image_not_found")
  end
  local found = answer.status == 200 and cjson.decode(answer.body)
  if not found or type(found.owner) ~= "string" then
    return refuse(503, "ownership_unavailable")
  end
  owners:set(image, found.owner, OWNER_TIME)
  return found.owner
end

local guard = {}

function guard.check()
  local uri = var.request_uri
  local path = match(uri, MEMBER, "jo")
  if not path then
    -- what resembles a member path is not passed on, everything else is
    if find(uri, "members", "jo") or find(uri, "//|%|[.][.]", "jo") then
      return refuse(404, "image_not_found")
    end
    return
  end

  local token = var.http_x_auth_token
  if not token then
    return refuse(401, "token_missing")
  end
  local claims = verdicts:get(token)
  if not claims then
    claims = jws.verify(token)
    if not claims then
      return refuse(401, "token_forged")
    end
    verdicts:set(token, claims, VERDICT_TIME)
  end
  if claims.exp <= ngx.time() then
    return refuse(401, "token_expired")
  end
  var.project = claims.project

  local method = ngx.req.get_method()
  if method ~= "PUT" then
    if method == "GET" or method == "DELETE" then
      return
    end
    return refuse(405, "method_not_allowed")
  end
  local media = var.http_content_type
  if media and media ~= "application/json" and not find(media, "^application/json *(;|$)", "jio") then
    return refuse(415, "media_type_unsupported")
  end
  if (tonumber(var.http_content_length) or 0) > MAX_BODY then
    return refuse(413, "body_too_large")
  end
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  if not body or #body > MAX_BODY then
    return refuse(body and 413 or 400, "body_missing")
  end
  local update = cjson.decode(body)
  if type(update) ~= "table" or update.status == nil then
    return refuse(400, "body_malformed")
  end

  if owner_of(path[1]) == claims.project then
    return refuse(403, "owner_forbidden")
  end
  if claims.project ~= path[2] then
    return refuse(404, "not_the_member")
  end
  if not STATUSES[update.status] then
    return refuse(400, "status_unknown")
  end
end

return guard
