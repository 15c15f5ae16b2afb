/// The package feed. Files name it by a variable, never by its address.
module Feed

#load "Commands.fsx"

open System
open System.IO
open System.Text.RegularExpressions
open Fake.Core
open Commands

let private variable = "NORMFREE_FEED"

/// The first enabled source of this machine's NuGet configuration.
let private configured () =
    let sources =
        CreateProcess.fromRawCommand "dotnet" [ "nuget"; "list"; "source"; "--format"; "short" ]
        |> CreateProcess.redirectOutput
        |> CreateProcess.ensureExitCode
        |> Proc.run

    // Lines such as "E https://…", with further letters after the E for a source of the whole machine.
    sources.Result.Output.Split('\n')
    |> Array.tryPick (fun line ->
        let found = Regex.Match(line, @"^E\w* (\S+)")
        if found.Success then Some found.Groups[1].Value else None)
    |> Option.defaultWith (fun () -> failwith "No NuGet source is enabled: add one with 'dotnet nuget add source'.")

let private set () =
    if String.IsNullOrEmpty(Environment.GetEnvironmentVariable variable) then
        Environment.SetEnvironmentVariable(variable, configured ())

let restore () =
    set ()
    dotnet [ "tool"; "restore" ]
    dotnet [ "paket"; "restore" ]

let private hideAddress () =
    let path = Path.Combine(root, "paket.lock")
    let placeholder = $"remote: %%{variable}%%"
    File.WriteAllText(path, Regex.Replace(File.ReadAllText path, @"remote: (?!%)\S+", placeholder))

/// Looks for newer packages and writes paket.lock.
let update () =
    set ()
    dotnet [ "tool"; "restore" ]

    try
        dotnet [ "paket"; "install" ]
    finally
        hideAddress ()
