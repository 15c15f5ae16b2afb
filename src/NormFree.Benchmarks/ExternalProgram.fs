namespace NormFree.Benchmarks

open System
open System.ComponentModel
open System.Diagnostics
open System.IO
open NormFree.Runs

/// <summary>Runs other programs.</summary>
[<RequireQualifiedAccess>]
module ExternalProgram =

    /// Output, errors and exit code. None if the program cannot be started.
    let private run (environment: (string * string) list) (program: string) (arguments: string list) =
        let start =
            ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true)

        for name, value in environment do
            start.Environment[name] <- value

        try
            use running = nonNull (Process.Start start)
            let errors = running.StandardError.ReadToEndAsync()
            let output = running.StandardOutput.ReadToEnd()
            running.WaitForExit()
            Some(output, errors.Result, running.ExitCode)
        with :? Win32Exception ->
            None

    let private outputIn environment (program: string) (arguments: string list) : string =
        let command = String.Join(' ', string (Path.GetFileName program) :: arguments)

        match run environment program arguments with
        | Some(output, _, 0) -> output
        | Some(_, errors, code) -> raise (TrainingException $"{command} failed with exit code {code}: {errors.Trim()}")
        | None -> raise (TrainingException $"{command} cannot be started: {program} was not found.")

    /// <summary>The program's standard output.</summary>
    /// <remarks>Throws TrainingException if the program is missing, or fails, with its standard error.</remarks>
    let output (program: string) (arguments: string list) : string = outputIn [] program arguments

    /// <summary>Parses the JSON that a program prints when these environment variables are set.</summary>
    /// <remarks>Throws as <c>output</c> does, and TrainingException if the output is something else.</remarks>
    let jsonIn<'T> environment program arguments : 'T =
        let text = outputIn environment program arguments

        match Json.readSnakeCase<'T> text with
        | Ok value -> value
        | Error reason ->
            raise (TrainingException $"{string (Path.GetFileName program)} printed unexpected JSON, {reason}: {text}")

    /// <summary>Parses the JSON that a program prints, as <c>jsonIn</c> does.</summary>
    let json<'T> program arguments : 'T = jsonIn [] program arguments

    /// <summary>Whether the program exists and exits with 0.</summary>
    let succeeds program arguments =
        match run [] program arguments with
        | Some(_, _, 0) -> true
        | _ -> false

    /// <summary>The first of these Pythons that has PyTorch: Debian's PyTorch belongs to <c>/usr/bin/python3</c>, which need not be the first on
    /// the path.</summary>
    let pythonWithTorch (candidates: string list) =
        candidates |> List.tryFind (fun python -> succeeds python [ "-c"; "import torch" ])
