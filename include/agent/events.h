/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Events a person may have to act on: MESSAGE_ID of the line in the systemd journal. Each has an entry in
 * packaging/deploy-agent.catalog (`journalctl -x`): what happened, is production affected, what to do next.
 * agentd and its workers log them, with STACK=, DEPLOYMENT= and COMMIT= where they apply. Never change an id.
 *
 *     journalctl MESSAGE_ID=2fc604f9717b4f32aa6fd78b7adabd38
 */

#define MESSAGE_DEPLOYMENT_STARTED     "bc71e93dfa284ba497c6420bb2690955"
#define MESSAGE_DEPLOYMENT_SUCCEEDED   "99ba14c493894d318892db2e578412fc"
#define MESSAGE_DEPLOYMENT_FAILED      "2fc604f9717b4f32aa6fd78b7adabd38"
#define MESSAGE_DEPLOYMENT_ROLLED_BACK "69c0e999b2f04e35b2d7efd5e9ce0529"
#define MESSAGE_DEPLOYMENT_HALTED      "fb9d04f8b12c483580c8a794e3258898"
#define MESSAGE_DEPLOYMENT_STUCK       "1b214449e4384dafbb5ff7d567402102"
#define MESSAGE_POLL_FAILING           "06ffad91d86b4b36b4b8c5e49b25e0d8"
#define MESSAGE_POLL_STALLED           "7c9d0e5b7fd1441eb9a4c3b6e80f25d1"
#define MESSAGE_POLL_RECOVERED         "e7a599a19c594c78bc8228db09ca320a"
#define MESSAGE_APPROVAL_NEEDED        "150e3da134254ac7a9d185bb2056fa4a"
#define MESSAGE_DRIFT                  "5d0f4e0c7b1f4c3f9a27be15c86d3e92"
#define MESSAGE_RELOAD_REFUSED         "a7727eee59864706af50b3e8674b78d9"
#define MESSAGE_DISK_LOW               "4be1c2d8a06f4f7c8e5b93d71f0a6c24"
#define MESSAGE_RECEIVER_FAILING       "5a05eaafaec14e11919fe68f22da5444"
#define MESSAGE_RECORD_UNUSABLE        "31b7b279fa5042ed8d6fbb3ab2ab0914"
