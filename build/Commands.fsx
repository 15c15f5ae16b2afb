/// Programs, run in the repository's folder.
module Commands

#r "nuget: Fake.Core.Target, 5.20.3"

open System
open System.IO
open Fake.Core

let root = DirectoryInfo(Path.Combine(__SOURCE_DIRECTORY__, "..")).FullName

let run program arguments =
    CreateProcess.fromRawCommand program arguments
    |> CreateProcess.withWorkingDirectory root
    |> CreateProcess.ensureExitCodeWithMessage $"""{program} {String.concat " " arguments} failed."""
    |> Proc.run
    |> ignore

let dotnet arguments = run "dotnet" arguments

/// What dotnet does with a project, in the configuration Release.
let private inRelease verb project options =
    dotnet ([ verb; project; "-c"; "Release"; "-v"; "quiet"; "-nologo" ] @ options)

let build project = inRelease "build" project [ "-clp:Summary" ]

let publish project folder options = inRelease "publish" project ([ "-o"; folder ] @ options)

let pack project options = inRelease "pack" project ([ "-o"; "artifacts/packages" ] @ options)
