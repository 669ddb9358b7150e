/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Why namespaces are refused, as a function that a test can ask with a made-up /proc/sys.
 */
#pragma once

#include "hostnet/hostnet_internal.h"

/* What to do about errno `error_number` of making a network (and with `is_user` a user) namespace, judged by
 * the switches below `sysctl_root` ("/proc/sys"). Owned by the caller. */
char *hostnet_namespace_explain(int error_number, bool is_user, const char *sysctl_root);
