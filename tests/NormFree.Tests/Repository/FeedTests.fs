/// The package feed is configured per machine, so no file names one.
module NormFree.Tests.Repository.FeedTests

open System
open System.Diagnostics
open System.IO
open Expecto
open NormFree.Tests

let private lines name = File.ReadAllLines(Path.Combine(repository, name))

/// Files tracked by git.
let private tracked =
    lazy
        (let command = [ "-c"; "safe.directory=*"; "ls-files" ]

         let start =
             ProcessStartInfo("git", command, RedirectStandardOutput = true, WorkingDirectory = repository)

         try
             match Process.Start start with
             | null -> []
             | git -> git.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries) |> Array.toList
         with :? ComponentModel.Win32Exception ->
             []) // git is not installed

let private hostOf (feed: string | null) =
    match Uri.TryCreate(feed, UriKind.Absolute) with
    | true, address when (nonNull address).Scheme.StartsWith "http" -> Some (nonNull address).Host
    | _ -> None

let tests =
    testList
        "feed"
        [ for file, word in [ "paket.dependencies", "source "; "paket.lock", "remote: " ] do
              test $"{file} names the feed by its variable" {
                  let named = lines file |> Array.map _.Trim() |> Array.filter (fun line -> line.StartsWith word)
                  Expect.isNonEmpty named "lines with a feed"

                  for line in named do
                      Expect.equal line (word + "%NORMFREE_FEED%") "placeholder"
              }
          test "no tracked file names the configured feed" {
              match hostOf (Environment.GetEnvironmentVariable "NORMFREE_FEED") with
              | None -> skiptest "NORMFREE_FEED is not a web address; build.fsx sets it"
              | Some host ->
                  if tracked.Value.IsEmpty then
                      skiptest "git lists no files"

                  for file in tracked.Value do
                      let path = Path.Combine(repository, file)

                      if File.Exists path then
                          Expect.isFalse ((File.ReadAllText path).Contains host) $"{file} names the feed's host"
          } ]
