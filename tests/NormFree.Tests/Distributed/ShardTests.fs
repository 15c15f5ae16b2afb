/// For any number of ranks, every image is read by exactly one rank.
module NormFree.Tests.Distributed.ShardTests

open Expecto
open FsCheck
open NormFree.Data
open NormFree.Tests.Data.Support

let private size (NonNegativeInt n) most = n % (most + 1)

/// Images that load instantly; every seventh is damaged.
let private source n =
    { Count = n
      Label = fun i -> i % 10
      Name = fun i -> $"image {i}"
      Load = fun i -> if i % 7 = 3 then Error "damaged" else Ok(Image.blank 2 2) }

let private options batch from =
    { BatchSize = batch
      Workers = 1
      Prefetch = 2
      Steps = []
      Normalisation = { Mean = [| 0.0f; 0.0f; 0.0f |]; Deviation = [| 1.0f; 1.0f; 1.0f |] }
      Side = 2
      Seed = 1L
      Epoch = 1
      From = from
      Strict = false
      Report = ignore
      Cancellation = System.Threading.CancellationToken.None }

let private readAll ranks batch from (order: int[]) =
    [ for rank in 0 .. ranks - 1 ->
          Loader.readShard { Rank = rank; Ranks = ranks } (options batch from) (source order.Length) order
          |> List.ofSeq ]

let private properties =
    [ testProperty
          "parts are adjacent, cover everything once, and differ in size by at most one"
          (fun n (PositiveInt parts) ->
              let count = size n 3000
              let found = [ for i in 0 .. parts - 1 -> Shard.part count parts i ]
              let sizes = List.map snd found
              Expect.equal (found |> List.scan (fun place (_, size) -> place + size) 0 |> List.last) count "sum"

              for (first, size), (next, _) in List.pairwise found do
                  Expect.equal next (first + size) "each part starts where the previous one ends"

              Expect.isLessThanOrEqual (List.max sizes - List.min sizes) 1 "sizes"
              Expect.isGreaterThanOrEqual (List.min sizes) 0 "sizes")

      testPropertyWithConfig
          { FsCheckConfig.defaultConfig with maxTest = 40 }
          "the shards of all batches are the batches of a single reader, from any starting point"
          (fun n (PositiveInt b) (PositiveInt k) done' ->
              let count, batch, ranks = size n 60, 1 + b % 12, 1 + k % 9
              let order = Loader.shuffled 1L 1 count
              let from = { Places = min count (batch * size done' 3); Unreadable = 0 }
              let shares = readAll ranks batch from order

              let single = Loader.readShard Shard.Whole (options batch from) (source count) order |> List.ofSeq

              for share in shares do
                  Expect.equal (share |> List.map _.Progress.Places) (single |> List.map _.Progress.Places) "places"

              for number, whole in List.indexed single do
                  let parts = shares |> List.map (List.item number)
                  Expect.equal (Array.concat (parts |> List.map _.Indices)) whole.Indices "images"
                  Expect.equal (Array.concat (parts |> List.map _.Images)) whole.Images "pixels"

              let lost batches = (List.last batches).Progress.Unreadable

              if not single.IsEmpty then
                  Expect.equal (List.sumBy lost shares) (lost single) "unreadable images") ]

let private edges =
    [ test "a batch with fewer images than ranks gives some ranks an empty shard" {
          let shares = readAll 5 2 LoaderProgress.None [| 0; 1; 2 |]
          Expect.equal (shares |> List.map List.length) [ 2; 2; 2; 2; 2 ] "batches"
          Expect.equal (shares |> List.map (List.sumBy _.Count) |> List.sum) 3 "images"
      }

      test "a shard without readable images is not an error, because other ranks may have some" {
          let source = { source 4 with Load = fun i -> if i < 2 then Error "damaged" else Ok(Image.blank 2 2) }

          let first =
              Loader.readShard { Rank = 0; Ranks = 2 } (options 4 LoaderProgress.None) source [| 0..3 |]
              |> List.ofSeq

          Expect.equal (first |> List.map _.Count) [ 0 ] "the shard is empty"

          let text =
              try
                  Loader.requireReadable 4 4 (Some { Index = 0; Name = "a"; Reason = "damaged"; Total = 1 })
                  ""
              with :? DataException as error ->
                  error.Message

          contains [ "None of 4"; "a: damaged" ] text
      } ]

let tests = testList "shares" (properties @ edges)
