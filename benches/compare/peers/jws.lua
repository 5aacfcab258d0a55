-- Keystone's signed tokens for LuaJIT: ES256, checked by the OpenSSL that nginx is linked with.

local ffi = require "ffi"
local cjson = require "cjson.safe"

ffi.cdef [[
  typedef struct bio_st BIO;
  typedef struct evp_pkey_st EVP_PKEY;
  typedef struct evp_md_st EVP_MD;
  typedef struct evp_md_ctx_st EVP_MD_CTX;
  BIO *BIO_new_mem_buf(const void *bytes, int length);
  EVP_PKEY *PEM_read_bio_PUBKEY(BIO *bio, EVP_PKEY **key, void *callback, void *argument);
  EVP_MD_CTX *EVP_MD_CTX_new(void);
  void EVP_MD_CTX_free(EVP_MD_CTX *context);
  const EVP_MD *EVP_sha256(void);
  int EVP_DigestVerifyInit(EVP_MD_CTX *context, void **other, const EVP_MD *type, void *engine, EVP_PKEY *key);
  int EVP_DigestVerify(EVP_MD_CTX *context, const unsigned char *signature, size_t signature_length,
                       const unsigned char *bytes, size_t length);
]]

local C = ffi.C
local key

local jws = {}

-- Reads the public key.
function jws.open(path)
  local file = assert(io.open(path, "rb"))
  local pem = file:read("*a")
  file:close()
  key = C.PEM_read_bio_PUBKEY(C.BIO_new_mem_buf(pem, #pem), nil, nil, nil)
  assert(key ~= nil, "no PEM public key")
end

local function decode(text)
  return ngx.decode_base64((text:gsub("-", "+"):gsub("_", "/")) .. ("="):rep(-#text % 4))
end

-- Writes one half of the signature as a DER integer.
local function integer(half)
  local digits = half:gsub("^%z+", "")
  if digits == "" or digits:byte() >= 128 then
    digits = "\0" .. digits
  end
  return "\2" .. string.char(#digits) .. digits
end

-- Returns the project and the end of a token with a good signature.
function jws.verify(token)
  local signed, header, payload, signature = token:match("^(([%w_-]+)%.([%w_-]+))%.([%w_-]+)$")
  if not signed then
    return nil
  end
  local head = cjson.decode(decode(header) or "")
  local raw = decode(signature)
  if not head or head.alg ~= "ES256" or not raw or #raw ~= 64 then
    return nil
  end
  local halves = integer(raw:sub(1, 32)) .. integer(raw:sub(33))
  local der = "\48" .. string.char(#halves) .. halves

  local context = C.EVP_MD_CTX_new()
  local good = C.EVP_DigestVerifyInit(context, nil, C.EVP_sha256(), nil, key) == 1
    and C.EVP_DigestVerify(context, der, #der, signed, #signed) == 1
  C.EVP_MD_CTX_free(context)
  local claims = good and cjson.decode(decode(payload) or "")
  if not claims or type(claims.exp) ~= "number" or type(claims.openstack_project_id) ~= "string" then
    return nil
  end
  return { exp = claims.exp, project = claims.openstack_project_id }
end

return jws
