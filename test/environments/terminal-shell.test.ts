/** What the simulated shells do, command by command: a table of lines and what they leave behind. */
import { describe, expect, it } from "vitest"
import type { World } from "../../environments/terminal/commands.ts"
import { expand, resolve, shellPrompt, show } from "../../environments/terminal/computer.ts"
import { at, capacity, size } from "../../environments/terminal/filesystem.ts"
import { isError, run } from "../../environments/terminal/shell.ts"
import { worldOf } from "../../environments/terminal/tasks.ts"
import { chain, plumbing, words } from "../../environments/terminal/words.ts"

const remote = { remoteHost: "192.168.1.20", remoteUser: "deploy" }

const unix = worldOf({
  os: "linux",
  ...remote,
  instruction: "",
  files: [
    { on: "local", path: "/home/user/a.txt", content: "A" },
    { on: "local", path: "/home/user/dir/b.txt", content: "B" },
    { on: "local", path: "/home/user/dir/sub/c.txt", content: "C" },
    { on: "local", path: "/home/user/my file", content: "M" },
    { on: "remote", path: "/home/deploy/r.txt", content: "R" },
    { on: "remote", path: "/var/www/html/index.html", content: "I" }
  ],
  goal: []
})

const windows = worldOf({
  os: "windows",
  ...remote,
  instruction: "",
  files: [
    { on: "local", path: "C:\\Users\\user\\a.txt", content: "A" },
    { on: "local", path: "C:\\Users\\user\\dir\\b.txt", content: "B" },
    { on: "remote", path: "/home/deploy/r.txt", content: "R" },
    { on: "remote", path: "/var/www/html/index.html", content: "I" }
  ],
  goal: []
})

const macos = worldOf({ os: "macos", ...remote, instruction: "", files: [], goal: [] })

/** Runs lines one after the other; the outputs and the world in the end. */
const type = (world: World, ...lines: ReadonlyArray<string>) => {
  const outputs: Array<string> = []
  for (const line of lines) {
    const result = run(line, world)
    outputs.push(result.output)
    world = result.world
  }
  return { world, outputs, output: outputs.at(-1)! }
}

const content = (world: World, on: "local" | "remote", path: string): string | undefined => {
  const node = at(world[on].files, resolve(world[on], path))
  return node?.kind === "file" ? node.content : node?.kind
}

describe("lines", () => {
  it("are split at && and ; outside of quotes", () => {
    expect(chain("a && b; c 'd;e && f' ;; g")).toEqual([
      { text: "a", conditional: false },
      { text: "b", conditional: true },
      { text: "c 'd;e && f'", conditional: false },
      { text: "g", conditional: false }
    ])
  })

  it.each([
    ["ls | cat", "|"],
    ["echo a > b", ">"],
    ["cat < a", "<"],
    ["echo 'a > b' \"c | d\"", undefined]
  ])("%s: plumbing is %s", (line, found) => expect(plumbing(line)).toBe(found))

  it("with pipes or redirections are refused as a whole", () => {
    expect(type(unix, "rm a.txt; ls | cat").output).toMatch(/^Error: pipes/)
    expect(content(type(unix, "rm a.txt; ls | cat").world, "local", "a.txt")).toBe("A")
    expect(type(unix, "echo a >> b").output).toMatch(/^Error: redirections/)
  })

  it("stop after an error with &&, and not with ;", () => {
    expect(content(type(unix, "rm nothing && rm a.txt").world, "local", "a.txt")).toBe("A")
    expect(content(type(unix, "rm nothing; rm a.txt").world, "local", "a.txt")).toBeUndefined()
    expect(content(type(unix, "nonsense && rm a.txt").world, "local", "a.txt")).toBe("A")
  })

  it("go on after a refused login and after a usage message", () => {
    for (const line of ["ssh root@192.168.1.20 && rm a.txt", "scp a.txt && rm a.txt", "ssh && rm a.txt"]) {
      expect(content(type(unix, line).world, "local", "a.txt")).toBeUndefined()
    }
    expect(content(type(unix, "ssh deploy@10.0.0.1 && rm a.txt").world, "local", "a.txt")).toBe("A")
  })

  it.each([
    ["Error: x", true],
    ["cp: cannot", true],
    ["bash: x: command not found", true],
    ["'x' is not recognized", true],
    ["usage: scp", false],
    ["Permission denied (publickey).", false],
    ["note: all is well", false],
    ["", false]
  ])("%s is an error: %s", (output, expected) => expect(isError(output)).toBe(expected))

  it("go by what an output says, whoever says it", () => {
    expect(content(type(unix, "echo cp: hello && rm a.txt").world, "local", "a.txt")).toBe("A")
  })
})

describe("words", () => {
  it.each([
    ["a  b\tc", ["a", "b", "c"]],
    ["'a b' \"c d\"", ["a b", "c d"]],
    ["a'b'\"c\"", ["abc"]],
    ["a\\ b", ["a b"]],
    ['"a\\"b\\\\c\\d"', ['a"b\\c\\d']],
    ["''", [""]],
    ["", []],
    ["'a", undefined]
  ])("by POSIX rules: %s", (text, expected) => expect(words(text, false)).toEqual(expected))

  it("keep their quotes on Windows, so that quoted paths fail there", () => {
    expect(words('type "C:\\my file"', true)).toEqual(["type", '"C:\\my file"'])
    expect(type(windows, 'type "a.txt"').output).toBe('cat: "a.txt": No such file or directory')
    expect(type(windows, "type a.txt").output).toBe("A")
    expect(type(unix, 'cat "my file"').output).toBe("M")
    expect(type(windows, "ssh deploy@192.168.1.20", 'cat "r.txt"').output).toBe("R")
  })

  it("not closed, are an error", () => expect(type(unix, "cat 'a.txt").output).toMatch(/^Error: a quote/))
})

describe("variables and paths", () => {
  it.each([
    ["$HOME/x ${USER} $PWD", "/home/user/x user /home/user"],
    ["'$HOME'", "'/home/user'"],
    ["$HOMER $UNKNOWN", "$HOMER $UNKNOWN"],
    ["~ ~/x a~ ~b", "/home/user /home/user/x a~ ~b"],
    ["scp a host:~/b", "scp a host:~/b"]
  ])("%s", (line, expected) => expect(expand(unix.local, line)).toBe(expected))

  it("on Windows are written between percent signs", () => {
    expect(expand(windows.local, "%USERPROFILE%\\x %username% %CD% %PATH% $HOME ~")).toBe(
      "C:\\Users\\user\\x user C:\\Users\\user %PATH% $HOME ~"
    )
  })

  it.each([
    [unix, "x", "/home/user/x"],
    [unix, "./x/../y", "/home/user/y"],
    [unix, "../../../..", ""],
    [unix, "/opt//x/", "/opt/x"],
    [windows, "dir\\b.txt", "/C:/Users/user/dir/b.txt"],
    [windows, "c:/Users/..", "/C:"],
    [windows, "\\Users", "/C:/Users"],
    [windows, "..\\..\\..\\..", "/C:"],
    [windows, "D:\\x", "/D:/x"]
  ])("%#: %s", (world, text, path) => expect(resolve(world.local, text)).toBe(path))

  it("are shown as the system writes them", () => {
    expect(show(windows.local, "/C:/Users/user")).toBe("C:\\Users\\user")
    expect(show(unix.local, "")).toBe("/")
    expect(shellPrompt(windows.local)).toBe("C:\\Users\\user>")
    expect(shellPrompt(macos.local)).toBe("user@localhost ~ %")
    expect(shellPrompt({ ...unix.local, cwd: "/opt" })).toBe("user@localhost:/opt$")
  })
})

describe("commands", () => {
  it.each([
    ["ls", "a.txt  dir/  my file"],
    ["ls dir a.txt", "b.txt  sub/\na.txt"],
    ["ls -l a.txt", "-rw-r--r-- 1 user user      1 Jan 15 10:30 a.txt"],
    ["touch .hidden; ls", "a.txt  dir/  my file"],
    ["touch .hidden; ls -a", ".hidden  a.txt  dir/  my file"],
    ["ls nothing", "ls: cannot access 'nothing': No such file or directory"],
    ["cd dir; pwd", "/home/user/dir"],
    ["cd dir; cd; pwd", "/home/user"],
    ["cd a.txt", "cd: a.txt: Not a directory"],
    ["cat a.txt dir/b.txt", "A\nB"],
    ["cat dir", "cat: dir: Is a directory"],
    ["echo a 'b  c'", "a b  c"],
    ["whoami", "user"],
    ["mkdir x/y", "mkdir: cannot create directory 'x/y': No such file or directory"],
    ["mkdir dir", "mkdir: cannot create directory 'dir': File exists"],
    ["mkdir -p x/y dir; ls x", "y/"],
    ["mkdir -p a.txt/x", "mkdir: cannot create directory 'a.txt/x': Not a directory"],
    ["touch x/y", "touch: cannot touch 'x/y': No such file or directory"],
    ["cp dir x", "cp: -r not specified; omitting directory 'dir'"],
    ["cp a.txt x/y", "cp: cannot create 'x/y': No such file or directory"],
    ["cp a.txt a.txt", "cp: cannot create 'a.txt': Source and destination are the same"],
    ["cp -r dir dir", "cp: cannot create 'dir': Cannot be put into itself"],
    ["cp a.txt b c", "cp: more than one source is not supported"],
    ["mv dir a.txt", "mv: cannot create 'a.txt': File exists"],
    ["mv . x", "mv: cannot create 'x': Cannot be put into itself"],
    ["mv nothing x", "mv: cannot stat 'nothing': No such file or directory"],
    ["rm dir", "rm: cannot remove 'dir': Is a directory"],
    ["rm -f nothing", ""],
    ["rm -rf /", "rm: cannot remove '/': Device or resource busy"],
    ["chmod +x a.txt", "chmod: invalid mode: '+x'"],
    ["chmod 0755 a.txt", "chmod: invalid mode: '0755'"],
    ["exit", ""],
    ["NONSENSE x", "bash: NONSENSE: command not found"],
    ["PWD", "/home/user"]
  ])("%s: %s", (line, output) => expect(type(unix, line).output).toBe(output))

  it.each([
    ["cp a.txt x", "x", "A"],
    ["cp a.txt dir", "dir/a.txt", "A"],
    ["cp -r dir x", "x/sub/c.txt", "C"],
    ["mkdir y; cp -r dir y", "y/dir/sub/c.txt", "C"],
    ["mv a.txt x", "x", "A"],
    ["mv dir x", "x/sub/c.txt", "C"],
    ["mv a.txt dir", "dir/a.txt", "A"],
    ["mv a.txt dir", "a.txt", undefined],
    ["cp a.txt dir/b.txt", "dir/b.txt", "A"],
    ["copy a.txt x", "x", "A"],
    ["ren a.txt x", "x", "A"],
    ["rename a.txt x", "x", "A"],
    ["move a.txt x", "x", "A"],
    ["del a.txt", "a.txt", undefined],
    ["rm -r dir", "dir", undefined],
    ["rm nothing a.txt", "a.txt", undefined],
    ["touch a.txt", "a.txt", "A"],
    ["touch x", "x", ""]
  ])("%s leaves %s: %s", (line, path, expected) =>
    expect(content(type(unix, line).world, "local", path)).toBe(expected)
  )

  it("chmod sets modes, with -R of everything under a directory", () => {
    const { world } = type(unix, "chmod 600 a.txt; chmod -R 700 dir")
    const mode = (path: string) => at(world.local.files, resolve(world.local, path))!.mode
    expect(["a.txt", "dir", "dir/sub/c.txt", "my file"].map(mode)).toEqual(["600", "700", "700", "644"])
  })

  it("ls lists fifty entries at most", () => {
    const many = Array.from({ length: 53 }, (_, i) => `f${i}`).join(" ")
    expect(type(unix, `mkdir x; cd x; touch ${many}; ls`).output).toMatch(/\n\.\.\. \(3 more entries\)$/)
  })
})

describe("on Windows", () => {
  it.each(["touch x", "chmod 600 a.txt", "tar -cf x.tar dir", "gzip a.txt", "gunzip a.txt", "rsync a.txt x"])(
    "there is no %s",
    (line) => expect(type(windows, line).output).toMatch(/^'\w+' is not recognized as an internal or external command/)
  )

  it.each([
    ["cd", "C:\\Users\\user"],
    ["cd dir && cd", "C:\\Users\\user\\dir"],
    ["cd nowhere", "The system cannot find the path specified."],
    ["zip -r dir.zip dir; del dir\\b.txt; unzip dir.zip; type dir\\b.txt", "B"],
    ["mkdir -p x\\y; copy C:\\Users\\user\\a.txt x\\y; type x/y/a.txt", "A"]
  ])("%s: %s", (line, expected) => expect(type(windows, line).output.split("\n").at(-1)).toBe(expected))

  it("dir lists in its own way", () => {
    const { output } = type(windows, "dir")
    expect(output).toMatch(/^ Directory of C:\\Users\\user\n\n/)
    expect(output).toContain("<DIR>          dir")
  })

  it("a remote shell is Linux all the same", () => {
    const { outputs } = type(windows, "ssh deploy@192.168.1.20", "touch x && chmod 600 x && ls", "dir /")
    expect(outputs.slice(1)).toEqual(["r.txt  x", "home/  var/"])
  })

  it("elsewhere what is not there is told as the system does", () => {
    expect(type(macos, "nonsense").output).toBe("zsh: command not found: nonsense")
    expect(isError(type(macos, "nonsense").output)).toBe(true)
  })
})

describe("ssh, scp and rsync", () => {
  const login = "ssh deploy@192.168.1.20"

  it.each([
    ["ssh deploy@192.168.1.21", "ssh: connect to host 192.168.1.21 port 22: Connection refused", false],
    ["ssh root@192.168.1.20", "Permission denied (publickey).", false],
    ["ssh 192.168.1.20", "Permission denied (publickey).", false],
    [`${login} rm r.txt`, "Welcome to Ubuntu 22.04 LTS (192.168.1.20)", true],
    ["ssh -p 22 -i key deploy@192.168.1.20", "Welcome to Ubuntu 22.04 LTS (192.168.1.20)", true]
  ])("%s: %s", (line, output, connected) => {
    const after = type(unix, line)
    expect(after.output).toBe(output)
    expect(after.world.connected).toBe(connected)
    expect(content(after.world, "remote", "r.txt")).toBe("R")
  })

  it("a second ssh is an error, and exit leads back to where one was", () => {
    const { outputs, world } = type(unix, "cd dir", login, login, "cd /var", "exit", "pwd")
    expect(outputs[2]).toMatch(/^Error: already connected/)
    expect(outputs.slice(4)).toEqual(["Connection to 192.168.1.20 closed.", "/home/user/dir"])
    expect(world.connected).toBe(false)
  })

  it.each([
    ["scp a.txt deploy@192.168.1.20:", "remote", "/home/deploy/a.txt", "A"],
    ["scp a.txt deploy@192.168.1.20:x", "remote", "/home/deploy/x", "A"],
    ["scp a.txt anyone@192.168.1.20:/var/www/html", "remote", "/var/www/html/a.txt", "A"],
    ["scp a.txt deploy@192.168.1.20:/nowhere/x", "remote", "/nowhere/x", undefined],
    ["scp a.txt deploy@192.168.1.20:~/x", "remote", "/home/deploy/x", undefined],
    ["scp dir deploy@192.168.1.20:", "remote", "dir", undefined],
    ["scp -r dir deploy@192.168.1.20:", "remote", "dir/sub/c.txt", "C"],
    ["rsync -avz dir deploy@192.168.1.20:", "remote", "dir/sub/c.txt", "C"],
    ["scp deploy@192.168.1.20:r.txt .", "local", "r.txt", "R"],
    ["scp deploy@192.168.1.20:/var/www/html/index.html dir/x", "local", "dir/x", "I"],
    ["scp a.txt dir/b.txt deploy@192.168.1.20:", "remote", "a.txt", undefined],
    ["scp deploy@192.168.1.20:r.txt deploy@192.168.1.20:x", "remote", "x", undefined],
    ["scp a.txt x", "local", "x", undefined],
    ["scp a.txt deploy@192.168.1.99:", "remote", "a.txt", undefined]
  ] as const)("%s leaves on the %s side %s: %s", (line, on, path, expected) => {
    expect(content(type(unix, line).world, on, path)).toBe(expected)
  })

  it("copy on Windows too, with its paths", () => {
    const { world } = type(
      windows,
      "scp C:\\Users\\user\\a.txt deploy@192.168.1.20:/var/www/html/",
      "scp x@192.168.1.20:r.txt dir"
    )
    expect(content(world, "remote", "/var/www/html/a.txt")).toBe("A")
    expect(content(world, "local", "dir\\r.txt")).toBe("R")
  })

  it("run on the local machine only", () => {
    for (const name of ["scp", "rsync"]) {
      expect(type(unix, login, `${name} r.txt user@localhost:`).output).toContain("must be run on the local machine")
    }
  })
})

describe("archives", () => {
  const entriesOf = (world: World, path: string) => {
    const node = at(world.local.files, resolve(world.local, path))
    return node?.kind === "file" ? node.archive?.entries : undefined
  }

  it.each([
    "tar -cf x.tar dir",
    "tar cf x.tar dir",
    "tar -c -v -f x.tar /home/user/dir",
    "zip -r x.tar dir",
    "tar --create --file=x.tar dir"
  ])("%s: entries begin at the directory that is named", (line) =>
    expect(entriesOf(type(unix, line).world, "x.tar")).toEqual({ "dir/b.txt": "B", "dir/sub/c.txt": "C" })
  )

  it("tar ignores -C and extracts into the current directory", () => {
    const { world } = type(unix, "tar -czf x.tgz dir; mkdir y; cd y; tar -xzf ../x.tgz -C /home/user")
    expect(content(world, "local", "/home/user/y/dir/sub/c.txt")).toBe("C")
    expect(entriesOf(type(unix, "tar -czf x.tgz -C dir b.txt").world, "x.tgz")).toBeUndefined()
  })

  it("tar lists", () => expect(type(unix, "tar -cf x.tar dir; tar -tf x.tar").output).toBe("dir/b.txt\ndir/sub/c.txt"))

  it("zip makes the directories above the archive, and takes directories with -r only", () => {
    expect(entriesOf(type(unix, "zip -r n/m/x.zip dir a.txt").world, "n/m/x.zip")).toHaveProperty(["a.txt"], "A")
    expect(entriesOf(type(unix, "zip x.zip dir a.txt").world, "x.zip")).toEqual({ "a.txt": "A" })
  })

  it("unzip -d makes its directory; neither opens what the other made", () => {
    expect(content(type(unix, "zip -r x.zip dir; unzip x.zip -d n/m").world, "local", "n/m/dir/b.txt")).toBe("B")
    expect(type(unix, "zip -r x.zip dir; tar -xf x.zip").output).toContain("does not look like a tar archive")
    expect(type(unix, "tar -cf x.tar dir; unzip x.tar").output).toBe("unzip: x.tar: Not a zip archive")
    expect(type(unix, "unzip a.txt").output).toBe("unzip: cannot open a.txt: Not an archive")
  })

  it("gzip replaces the file, and gunzip takes the name as it was typed from where it is called", () => {
    const packed = type(unix, "gzip dir/b.txt")
    expect(content(packed.world, "local", "dir/b.txt")).toBeUndefined()
    expect(content(type(packed.world, "gunzip dir/b.txt.gz").world, "local", "dir/b.txt")).toBe("B")
    expect(type(packed.world, "cd dir; gunzip b.txt.gz").output).toBe("gunzip: b.txt.gz: No such file or directory")
    expect(
      content(type(packed.world, "mkdir dir/dir; cd dir; gunzip b.txt.gz").world, "local", "/home/user/dir/dir/b.txt")
    ).toBe("B")
  })

  it("a tar that is compressed stays one", () => {
    const { world } = type(unix, "tar -cf x.tar dir; gzip x.tar; rm -r dir; tar -xzf x.tar.gz")
    expect(content(world, "local", "dir/b.txt")).toBe("B")
    expect(type(world, "gunzip x.tar.gz; tar -tf x.tar").output).toContain("dir/b.txt")
  })

  it("keep what they are on the way to the other computer", () => {
    const { world } = type(unix, "tar -cf x.tar dir; scp x.tar d@192.168.1.20:; ssh deploy@192.168.1.20; tar -xf x.tar")
    expect(content(world, "remote", "/home/deploy/dir/sub/c.txt")).toBe("C")
  })
})

describe("limits", () => {
  it("a computer fills up instead of the memory", () => {
    let world: World = unix
    let output = ""
    for (let i = 0; i < 40; i++)
      ({ output, world } = run(`cp -r /home/user/dir /home/user/dir${i}; mv dir${i} dir`, world))
    expect(output).toContain("No space left on device")
    expect(size(world.local.files)).toBeLessThanOrEqual(capacity)
  })

  it("long lines are refused, long outputs are cut", () => {
    expect(type(unix, `echo ${"x".repeat(1_000_000)}`).output).toMatch(/^Error: a command line has 4096/)
    const echo = `echo ${"y".repeat(3_900)}`
    const line = type(unix, "mkdir -p d; cd d", `touch ${"z".repeat(200)}`)
    expect(type(line.world, Array.from({ length: 1_000 }, () => "ls").join(";")).output.length).toBeLessThan(20_100)
    expect(type(unix, echo).output.length).toBe(3_900)
  })
})
