/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/internal.h"

#include <dirent.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

/* ---- left by a killed process ---- */

/* libgit2's temporary packs, and our spooled answers on file systems that were full */
static bool is_temporary(const char *name)
{
    return str_starts(name, "pack_git2_") || str_starts(name, "streamed_git2_") ||
           str_starts(name, "tmp_object_git2_") || str_starts(name, "answer.") || str_ends(name, ".lock");
}

static void sweep_folder(const char *path, unsigned depth)
{
    cleanup_arena struct arena arena = {0};
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
            continue;
        char *name = arena_printf(&arena, "%s/%s", path, entry->d_name);
        if (entry->d_type == DT_DIR && depth > 0)
            sweep_folder(name, depth - 1);
        else if (entry->d_type == DT_REG && is_temporary(entry->d_name))
            unlink(name);
    }
    closedir(dir);
}

void mirror_sweep(const char *path)
{
    cleanup_arena struct arena arena = {0};
    struct error ignored = {0}; /* what stays now goes with the next sweep */
    sweep_folder(path, 8);      /* refs/heads/a/b/c.lock, objects/pack/… */
    (void)!mirror_remove(arena_printf(&arena, "%s.old", path), &ignored);
    (void)!mirror_remove(arena_printf(&arena, "%s.new", path), &ignored);
}

/* ---- one pack instead of many ---- */

static DIR *open_packs(struct arena *arena, const char *path, char **ret_folder)
{
    *ret_folder = arena_printf(arena, "%s/objects/pack", path);
    return opendir(*ret_folder);
}

unsigned mirror_count_packs(const char *path)
{
    cleanup_arena struct arena arena = {0};
    char *folder;
    DIR *dir = open_packs(&arena, path, &folder);
    unsigned n = 0;
    if (!dir)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        n += str_ends(entry->d_name, ".pack");
    closedir(dir);
    return n;
}

/* pack-ID.idx goes first: without it nobody looks for the pack. */
static void remove_other_packs(const char *path, const char *keep)
{
    static const char *const suffixes[] = {".idx", ".pack", ".rev"};
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        cleanup_arena struct arena arena = {0};
        char *folder;
        DIR *dir = open_packs(&arena, path, &folder);
        if (!dir)
            return;
        for (struct dirent *entry; (entry = readdir(dir));)
            if (str_starts(entry->d_name, "pack-") && str_ends(entry->d_name, suffixes[i]) &&
                !str_starts(entry->d_name + 5, keep))
                unlink(arena_printf(&arena, "%s/%s", folder, entry->d_name));
        closedir(dir);
    }
}

/* Every commit that a reference reaches, with its trees and files, and the tag objects themselves. */
static int fill_pack(git_repository *git, git_packbuilder *builder)
{
    cleanup_git(git_revwalk) git_revwalk *walk = NULL;
    cleanup_git(git_reference_iterator) git_reference_iterator *tags = NULL;
    int r;
    if ((r = git_revwalk_new(&walk, git)) < 0 || (r = git_revwalk_push_glob(walk, "refs/*")) < 0 ||
        (r = git_packbuilder_insert_walk(builder, walk)) < 0 ||
        (r = git_reference_iterator_glob_new(&tags, git, "refs/tags/*")) < 0)
        return r;
    for (git_reference *next; (r = git_reference_next(&next, tags)) == 0;) {
        cleanup_git(git_reference) git_reference *tag = next;
        if ((r = git_packbuilder_insert_recur(builder, git_reference_target(tag), NULL)) < 0)
            return r;
    }
    return r == GIT_ITEROVER ? 0 : r;
}

int mirror_repack(const char *path, git_repository **git, struct error *err)
{
    cleanup_git(git_packbuilder) git_packbuilder *builder = NULL;
    char keep[GIT_OID_HEXSZ + 1];
    int r;
    if ((r = git_packbuilder_new(&builder, *git)) < 0 || (r = fill_pack(*git, builder)) < 0)
        return libgit_error(err, r, "collecting objects");
    if ((r = git_packbuilder_write(builder, NULL, 0600, NULL, NULL)) < 0)
        return libgit_error(err, r, "writing a pack");
    snprintf(keep, sizeof keep, "%s", git_packbuilder_name(builder));

    remove_other_packs(path, keep);
    git_repository *fresh;
    if ((r = git_repository_open_bare(&fresh, path)) < 0)
        return libgit_error(err, r, "opening %s", path);
    git_packbuilder_free(TAKE(builder));
    git_repository_free(*git);
    *git = fresh;
    return 0;
}
