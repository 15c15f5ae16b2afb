/// What the tests of every area share. It needs no libtorch.
[<AutoOpen>]
module NormFree.Tests.Common

open System
open System.IO
open Expecto

/// The repository's root: the nearest parent folder with the solution.
let repository =
    let rec up (folder: DirectoryInfo | null) =
        match folder with
        | null -> failwith "The tests do not run below the repository."
        | folder when File.Exists(Path.Combine(folder.FullName, "Hybrid.sln")) -> folder.FullName
        | folder -> up folder.Parent

    up (DirectoryInfo AppContext.BaseDirectory)

/// The message of the exception that an action throws; fails unless it has the given type.
let messageOf<'e, 'a when 'e :> exn> (action: unit -> 'a) =
    let result =
        try
            action () |> ignore
            Error "nothing"
        with
        | :? 'e as e -> Ok e.Message
        | e -> Error(string e)

    match result with
    | Ok text -> text
    | Error what -> failtest $"{typeof<'e>.Name} was expected, not {what}"
