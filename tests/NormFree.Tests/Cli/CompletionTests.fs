module NormFree.Tests.Cli.CompletionTests

open System
open System.Diagnostics
open System.IO
open Expecto
open NormFree.Cli
open NormFree.Tests.Cli

let private shells = [ "bash"; "zsh"; "fish"; "powershell" ]

/// The files of the scripts. Tests run in parallel, so each is written once.
let private scripts =
    Map
        [ for shell in shells ->
              shell,
              lazy
                  (let script = Tool.run [ "completion"; shell ] |> Tool.succeeds
                   Tool.scratch.Write($"completion.{shell}", System.Text.Encoding.UTF8.GetBytes script.Out)) ]

let private script shell = scripts[shell].Value

let private isInstalled program =
    (string (Environment.GetEnvironmentVariable "PATH")).Split ':'
    |> Array.exists (fun folder -> File.Exists(Path.Combine(folder, program)))

/// Runs a program; its exit code and output.
let private output program (arguments: string list) =
    let info =
        ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true)

    match Process.Start info with
    | null -> failtest $"{program} does not start"
    | started ->
        use started = started
        let out = started.StandardOutput.ReadToEnd()
        Expect.equal (started.StandardError.ReadToEnd()) "" $"{program}'s error stream"
        started.WaitForExit()
        started.ExitCode, out

/// What bash completes after these words; the last one is incomplete.
let private completed (words: string list) =
    let quoted = [ for word in words -> $"'{word}'" ] |> String.concat " "
    let source = script "bash"
    let setting = $"COMP_WORDS=({quoted}); COMP_CWORD={words.Length - 1}"

    let code, out =
        output "bash" [ "-c"; $"source '{source}'; {setting}; _normfree; echo " + "\"${COMPREPLY[@]}\"" ]

    Expect.equal code 0 "exit code"
    out.Trim().Split(' ', StringSplitOptions.RemoveEmptyEntries) |> Array.toList

let private bash =
    [ for words, expected in
          [ [ "normfree"; "tr" ], [ "train" ]
            [ "normfree"; "bench"; "" ], [ "train"; "infer"; "kernels" ]
            [ "normfree"; "train"; "--ar" ], [ "--arch" ]
            [ "normfree"; "train"; "--initial" ], [ "--initialisation" ]
            [ "normfree"; "train"; "--norm"; "b" ], [ "batch-norm"; "bn-free" ]
            [ "normfree"; "bench"; "infer"; "--engine"; "onnx" ], [ "onnxruntime"; "onnxruntime-int8" ]
            [ "normfree"; "data"; "get"; "cifar1" ], [ "cifar10"; "cifar100" ]
            [ "normfree"; "train"; "--out"; "" ], [] ] do
          let line = String.concat " " words

          test $"bash completes '{line}'" { Expect.equal (completed words) expected "choices" }

      test "bash completes every option of every command" {
          for command in Commands.all do
              let words = "normfree" :: List.ofArray (command.Name.Split ' ') @ [ "--" ]
              let names = "--help" :: [ for spec in command.Options -> spec.Name ]
              Expect.equal (completed words) names command.Name
      } ]

let private syntax =
    [ for shell, program, check in
          [ "bash", "bash", [ "-n" ]; "zsh", "zsh", [ "-n" ]; "fish", "fish", [ "--no-execute" ] ] do
          test $"the syntax of the script for {shell}" {
              if isInstalled program then
                  Expect.equal (output program (check @ [ script shell ])) (0, "") "exit code and output"
              else
                  skiptest $"{program} is not installed"
          }

      // PowerShell completes files where a completer returns nothing.
      test "PowerShell returns nothing after options that take any value" {
          let line = File.ReadAllLines(script "powershell") |> Array.find _.Contains("return")

          for command in Commands.all do
              for spec in command.Options do
                  let takesAny = spec.Kind = ValueKind.Text || spec.Kind = ValueKind.Path
                  Expect.equal (line.Contains $"'{command.Name} {spec.Name}'") takesAny $"{command.Name} {spec.Name}"
      }

      for shell in shells do
          test $"the script for {shell} has every command" {
              let text = File.ReadAllText(script shell)

              for command in Commands.all do
                  for word in command.Name.Split ' ' do
                      Expect.stringContains text word command.Name
          } ]

let tests = testList "Completion" (bash @ syntax)
