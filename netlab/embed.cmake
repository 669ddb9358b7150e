# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
# Writes the text file IN as C string literals, one a line, to OUT. Full-line SQL comments are left out.
file(READ ${IN} text)
string(REPLACE ";" "<semicolon>" text "${text}")
string(REPLACE "\\" "\\\\" text "${text}")
string(REPLACE "\"" "\\\"" text "${text}")
string(REPLACE "\n" ";" lines "${text}")
set(out "")
foreach(line IN LISTS lines)
  if(NOT line MATCHES "^--" AND NOT line STREQUAL "")
    string(APPEND out "\"${line}\\n\"\n")
  endif()
endforeach()
string(REPLACE "<semicolon>" ";" out "${out}")
file(WRITE ${OUT} "${out}")
