// `tsc --strict` over files of this folder, into JavaScript beside them. Ends the program with what it finds wrong.

import { spawnSync } from "node:child_process";

export function tsc(files) {
  const flags = ["--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"];
  const { status } = spawnSync("node_modules/.bin/tsc", [...flags, ...files], { stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
