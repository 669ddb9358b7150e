# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
# Writes the recipes IN (a list of files) to OUT as a table: name and text.
set(out "static const struct {\n    const char *name, *text;\n} recipe_texts[] = {\n")
foreach(file IN LISTS IN)
  get_filename_component(name "${file}" NAME_WE)
  file(READ "${file}" text)
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  string(REPLACE "\n" "\\n\"\n     \"" text "${text}")
  string(APPEND out "    {\"${name}\",\n     \"${text}\"},\n")
endforeach()
string(APPEND out "};\n")
file(WRITE "${OUT}" "${out}")
