/// PyTorch itself, where Debian's python3-torch is installed: to make files with, and to read ours.
module NormFree.Tests.Interop.PyTorch

open System
open System.Diagnostics
open System.IO
open Expecto
open NormFree.Tests
open NormFree.Tests.Archives

/// NORMFREE_PYTHON names another interpreter.
let private python =
    match Environment.GetEnvironmentVariable "NORMFREE_PYTHON" with
    | null
    | "" -> "/usr/bin/python3"
    | path -> path

/// The folder with reference.py; NORMFREE_SHARED replaces the folder beside the repository.
let private reference =
    let shared =
        match Environment.GetEnvironmentVariable "NORMFREE_SHARED" with
        | NonNull folder when folder <> "" -> folder
        | _ -> Path.Combine(repository, "..", "shared")

    Path.GetFullPath(Path.Combine(shared, "reference"))

let private imports (modules: string) =
    let start = ProcessStartInfo(python, [ "-c"; $"import {modules}" ], RedirectStandardError = true)

    try
        match Process.Start start with
        | null -> false
        | found ->
            use found = found
            found.StandardError.ReadToEnd() |> ignore
            found.WaitForExit()
            found.ExitCode = 0
    with :? ComponentModel.Win32Exception ->
        false

let private hasTorch = lazy (imports "torch")
let private hasVision = lazy (imports "torchvision")

/// Skips the test, saying what is missing.
let require vision =
    if not (File.Exists(Path.Combine(reference, "reference.py"))) then
        skiptest "the reference in PyTorch is not in the folder 'shared/reference' beside the repository"

    if not hasTorch.Value then
        skiptest "PyTorch is not installed (Debian's python3-torch)"

    if vision && not hasVision.Value then
        skiptest "torchvision is not installed (Debian's python3-torchvision)"

/// The process, started once; it ends with the tests, since its input does.
let private server =
    lazy
        (let start =
            ProcessStartInfo(
                python,
                [ NormFree.Tests.Archives.PyTorchFixtures.fixturePath "pytorch.py"; reference ],
                RedirectStandardInput = true,
                RedirectStandardOutput = true
            )

         nonNull (Process.Start start))

/// Gives a command and waits for its answer, which must be this one.
let ask (answer: string) (words: string list) =
    lock server (fun () ->
        server.Value.StandardInput.WriteLine(String.Join('\t', words))
        server.Value.StandardInput.Flush()
        Expect.equal (server.Value.StandardOutput.ReadLine()) answer (String.Join(' ', words)))
