/// The repository's packages, packed once into a temporary folder, and commands that restore them into projects outside the repository.
module NormFree.Tests.Packages.Feed

open System
open System.Diagnostics
open System.IO
open Expecto
open NormFree.Tests
open NormFree.Tests.Data.Support

/// The exit code of a command, and what it printed to both streams.
type Result = { Code: int; Text: string }

let private minutes = 20.0

/// Packages, their cache, and the settings of 'dotnet new' and of tools. It is deleted when the tests end.
let private scratch =
    lazy
        (let folder = new TempFolder()
         AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> (folder :> IDisposable).Dispose())
         folder)

let folder () = scratch.Value.Path

let private userPackages () =
    match Environment.GetEnvironmentVariable "NUGET_PACKAGES" with
    | null
    | "" -> Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".nuget", "packages")
    | path -> path

/// A version that no cache holds: the tests never see packages of an earlier run.
let version = $"0.1.0-test.{DateTime.UtcNow.Ticks}"

/// All other packages come from the user's cache, or from the feed that build.fsx names.
let private sources () =
    match Environment.GetEnvironmentVariable "NORMFREE_FEED" with
    | null
    | "" -> Path.Combine(folder (), "packages")
    | feed -> Path.Combine(folder (), "packages") + ";" + feed

let private environment () =
    [ "NUGET_PACKAGES", Path.Combine(folder (), "cache")
      "RestoreFallbackFolders", userPackages ()
      "RestoreSources", sources ()
      "DOTNET_CLI_HOME", Path.Combine(folder (), "home")
      "DOTNET_NOLOGO", "1"
      "MSBUILDDISABLENODEREUSE", "1"
      // libtorch is large: link it into output folders.
      "CreateHardLinksForCopyFilesToOutputDirectoryIfPossible", "true"
      "CreateHardLinksForCopyLocalIfPossible", "true"
      "CreateHardLinksForPublishFilesIfPossible", "true" ]

/// Runs a program to its end with further variables.
let runWith (variables: (string * string) list) (workingFolder: string) (program: string) (arguments: string list) =
    let info =
        ProcessStartInfo(
            program,
            arguments,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = workingFolder
        )

    for name, value in variables do
        info.Environment[name] <- value

    match Process.Start info with
    | null -> failtest $"{program} does not start"
    | started ->
        use started = started
        let out, err = started.StandardOutput.ReadToEndAsync(), started.StandardError.ReadToEndAsync()

        if not (started.WaitForExit(TimeSpan.FromMinutes minutes)) then
            started.Kill(entireProcessTree = true)
            failtest $"{program} still runs after {minutes} minutes"

        { Code = started.ExitCode; Text = out.Result + err.Result }

let succeeds what result =
    Expect.equal result.Code 0 $"{what}: {result.Text}"
    result.Text

/// Runs dotnet in a folder outside the repository, with the packed packages.
let dotnet (workingFolder: string) (arguments: string list) = runWith (environment ()) workingFolder "dotnet" arguments

/// Runs dotnet as a new user does, in a home folder without settings: packages come from the sources that `dotnet nuget add source` registered.
let dotnetOfUser (workingFolder: string) (arguments: string list) =
    let home = Directory.CreateDirectory(Path.Combine(folder (), "user")).FullName
    let replaced = [ "RestoreSources"; "DOTNET_CLI_HOME" ]
    let others = environment () |> List.filter (fun (name, _) -> not (List.contains name replaced))
    runWith ([ "HOME", home; "DOTNET_CLI_HOME", home ] @ others) workingFolder "dotnet" arguments

let private pack =
    lazy
        (let arguments =
            [ "pack"
              "Hybrid.sln"
              "-c"
              "Release"
              "--no-build"
              "-nologo"
              "-v"
              "quiet"
              $"-p:PackageVersion={version}"
              "-o"
              Path.Combine(folder (), "packages") ]

         let text = runWith [] repository "dotnet" arguments |> succeeds "dotnet pack"
         Expect.isFalse (text.Contains "warning") $"warnings of dotnet pack: {text}"
         Path.Combine(folder (), "packages"))

/// The folder with the packages.
let packages () = pack.Force()

/// A project in a folder of its own outside the repository.
let project (name: string) (files: (string * string) list) =
    packages () |> ignore
    let path = Path.Combine(folder (), "projects", name)
    Directory.CreateDirectory path |> ignore

    for file, text in files do
        File.WriteAllText(Path.Combine(path, file), text)

    path

/// A project file of a program that references these packages.
let projectFile (references: (string * string) list) more =
    let references =
        [ for name, attributes in references -> $"""<PackageReference Include="{name}" {attributes} />""" ]
        |> String.concat "\n"

    $"""<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <SatelliteResourceLanguages>en</SatelliteResourceLanguages>
    {more}
  </PropertyGroup>
  <ItemGroup>
{references}
  </ItemGroup>
</Project>"""

/// A reference to a package of this repository.
let own name = name, $"""Version="{version}" """
