/* SPDX-License-Identifier: Apache-2.0 */
#include "docker/auth.h"

#include <jansson.h>
#include <nettle/base64.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agent/stack.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/secret.h"
#include "docker/client.h"

#define AUTH_FILE_MAX ((size_t)1 << 20)
/* The key of Docker Hub, for historical reasons. */
#define HUB_KEY "https://index.docker.io/v1/"

struct registry_auth {
    json_t *root;
    char *path;
};

static int wrong(struct error *err, const char *path, const char *what)
{
    return error_set(err, ERR_INVALID, 0, "%s: %s", path, what);
}

int registry_auth_parse(const char *path, const char *text, size_t len, struct registry_auth **ret,
                        struct error *err)
{
    static const char *const objects[] = {"auths", "credHelpers"};
    json_error_t where;
    cleanup_json json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return error_set(err, ERR_INVALID, 0, "%s:%d: not the JSON of Docker's config.json", path,
                         where.line);
    if (!json_is_object(root))
        return wrong(err, path, "not a JSON object");
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
        json_t *part = json_object_get(root, objects[i]);
        if (part && !json_is_object(part))
            return error_set(err, ERR_INVALID, 0, "%s: \"%s\" is not an object", path, objects[i]);
    }
    json_t *store = json_object_get(root, "credsStore");
    if (store && !json_is_string(store))
        return wrong(err, path, "\"credsStore\" is not a string");

    struct registry_auth *auth = calloc(1, sizeof *auth);
    char *own_path = strdup(path);
    if (!auth || !own_path)
        abort();
    auth->root = TAKE(root);
    auth->path = own_path;
    *ret = auth;
    return 0;
}

void registry_auth_free(struct registry_auth *auth)
{
    if (!auth)
        return;
    json_decref(auth->root);
    free(auth->path);
    free(auth);
}

/* Where the credentials of a domain are looked for: the key Docker writes, and the host other keys may name.
 */
static const char *key_of(const char *domain)
{
    return strcmp(domain, "docker.io") == 0 ? HUB_KEY : domain;
}

/* Is `key` (a host or a URL) one for this domain? */
static bool key_matches(const char *key, const char *domain)
{
    if (strncmp(key, "https://", 8) == 0)
        key += 8;
    else if (strncmp(key, "http://", 7) == 0)
        key += 7;
    size_t n = strcspn(key, "/");
    if (n == strlen(domain) && strncmp(key, domain, n) == 0)
        return true;
    return strcmp(domain, "docker.io") == 0 && n == strlen("index.docker.io") &&
           strncmp(key, "index.docker.io", n) == 0;
}

/* The member for a domain, exact key first. */
static json_t *find_member(json_t *object, const char *domain, const char **ret_key)
{
    const char *exact = key_of(domain), *key;
    json_t *value = json_object_get(object, exact);
    if (value) {
        *ret_key = exact;
        return value;
    }
    json_object_foreach (object, key, value) {
        if (key_matches(key, domain)) {
            *ret_key = key;
            return value;
        }
    }
    return NULL;
}

/* base64 of USER:PASSWORD; false when it is not that */
static bool decode_user_password(struct arena *arena, const char *text, struct credentials *ret)
{
    struct base64_decode_ctx ctx;
    size_t len = strlen(text), decoded_len = BASE64_DECODE_LENGTH(len);
    char *decoded = arena_alloc(arena, decoded_len + 1);
    base64_decode_init(&ctx);
    if (!base64_decode_update(&ctx, &decoded_len, (uint8_t *)decoded, len, text) ||
        !base64_decode_final(&ctx))
        return false;
    decoded[decoded_len] = '\0';
    char *colon = strchr(decoded, ':');
    if (!colon)
        return false;
    *colon = '\0';
    ret->username = decoded;
    ret->password = colon + 1;
    return true;
}

static const char *member_text(struct arena *arena, const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text && text[0] ? arena_strdup(arena, text) : NULL;
}

static int read_auths_entry(const struct registry_auth *auth, struct arena *arena, const char *domain,
                            struct credentials *ret, struct error *err)
{
    const char *key = NULL;
    json_t *entry = find_member(json_object_get(auth->root, "auths"), domain, &key);
    if (!entry)
        return 0;
    struct credentials found = {.username = member_text(arena, entry, "username"),
                                .password = member_text(arena, entry, "password"),
                                .identity_token = member_text(arena, entry, "identitytoken"),
                                .registry_token = member_text(arena, entry, "registrytoken")};
    const char *encoded = member_text(arena, entry, "auth");
    if (encoded && !decode_user_password(arena, encoded, &found))
        return error_set(err, ERR_INVALID, 0, "%s: auths: %s: \"auth\" is not base64 of USER:PASSWORD",
                         auth->path, key);
    if (encoded)
        secret_register(encoded);
    if (found.username || found.identity_token || found.registry_token)
        found.server = arena_strdup(arena, key);
    *ret = found;
    return 0;
}

static int ask_helpers(const struct registry_auth *auth, struct arena *arena, const char *domain,
                       struct credentials *ret, struct error *err)
{
    const char *key = key_of(domain);
    const char *helper =
        json_string_value(find_member(json_object_get(auth->root, "credHelpers"), domain, &key));
    if (!helper)
        helper = json_string_value(json_object_get(auth->root, "credsStore"));
    if (!helper || !helper[0])
        return 0;
    return credential_helper_get(helper, key, auth->path, arena, ret, err);
}

int registry_auth_find(const struct registry_auth *auth, struct arena *arena, const char *domain,
                       struct credentials *ret, struct error *err)
{
    struct credentials found = {0};
    if (ask_helpers(auth, arena, domain, &found, err) < 0)
        return -1;
    /* The CLI stops at a helper that knows nothing; entries beside it are taken here, since somebody wrote
     * them. */
    if (!found.server && read_auths_entry(auth, arena, domain, &found, err) < 0)
        return -1;
    const char *const secrets[] = {found.password, found.identity_token, found.registry_token};
    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
        if (secrets[i])
            secret_register(secrets[i]);
    *ret = found;
    return 0;
}

void credentials_encode(const struct credentials *credentials, const char *domain, struct str *ret)
{
    cleanup_json json_t *object = json_object();
    const char *const members[][2] = {
        {"username", credentials->username},
        {"password", credentials->password},
        {"serveraddress", credentials->server ? key_of(domain) : NULL},
        {"identitytoken", credentials->identity_token},
        {"registrytoken", credentials->registry_token},
    };
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (members[i][1])
            json_object_set_new(object, members[i][0], json_string(members[i][1]));
    cleanup_free char *text = json_dumps(object, JSON_COMPACT);
    if (!text)
        abort();

    struct base64_encode_ctx ctx;
    size_t len = strlen(text);
    cleanup_free char *encoded = malloc(BASE64_ENCODE_LENGTH(len) + BASE64_ENCODE_FINAL_LENGTH);
    if (!encoded)
        abort();
    base64url_encode_init(&ctx);
    size_t n = base64_encode_update(&ctx, encoded, len, (const uint8_t *)text);
    n += base64_encode_final(&ctx, encoded + n);
    str_append_n(ret, encoded, n);
    explicit_bzero(text, len);
    explicit_bzero(encoded, n);
}

static int load_auth_file(struct docker *docker, struct error *err)
{
    if (docker->auth || !docker->auth_file)
        return 0;
    cleanup_arena struct arena arena = {0};
    char *text;
    size_t len;
    int r = fs_read_private(&arena, docker->auth_file, AUTH_FILE_MAX, &text, &len, err);
    if (r < 0 && err->kind == ERR_NOT_FOUND)
        err->kind = ERR_INVALID; /* else it would pass for an image that is not there yet */
    if (r == 0) {
        r = registry_auth_parse(docker->auth_file, text, len, &docker->auth, err);
        explicit_bzero(text, len);
    }
    return r < 0 ? error_wrap(err, "reading registry credentials") : 0;
}

static int find_for_image(struct docker *docker, struct arena *arena, const char *image,
                          const char **ret_domain, struct credentials *ret, struct error *err)
{
    struct image_ref ref;
    struct error ignored;
    *ret_domain = "";
    *ret = (struct credentials){0};
    if (image_ref_parse(arena, image, &ref, &ignored) < 0)
        return 0; /* an image ID: no registry */
    if (load_auth_file(docker, err) < 0)
        return -1;
    *ret_domain = ref.domain;
    return docker->auth ? registry_auth_find(docker->auth, arena, ref.domain, ret, err) : 0;
}

int docker_auth_header(struct docker *docker, const char *image, struct str *ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct credentials credentials;
    const char *domain;
    if (find_for_image(docker, &arena, image, &domain, &credentials, err) < 0)
        return -1;
    if (credentials.server) {
        str_append(ret, "X-Registry-Auth: ");
        credentials_encode(&credentials, domain, ret);
    }
    return 0;
}

bool docker_has_auth(struct docker *docker, const char *image)
{
    cleanup_arena struct arena arena = {0};
    struct credentials credentials;
    struct error ignored;
    const char *domain;
    return find_for_image(docker, &arena, image, &domain, &credentials, &ignored) == 0 && credentials.server;
}
