/// Detection of lost ranks, launchers, and Open MPI's library.
module NormFree.Tests.Distributed.LivenessTests

open System
open System.IO
open Expecto
open NormFree.Distributed
open NormFree.Distributed.Mpi
open NormFree.Tests
open NormFree.Tests.Data.Support

let private seconds (value: float) = TimeSpan.FromSeconds value

/// Checks one of three ranks every second: when it first finds peers missing, and which.
let private firstMissing rank (messages: float -> (int * int64) list) =
    let liveness = Liveness(3, rank, seconds 10.0, seconds 0.0)

    seq { 1.0 .. 60.0 }
    |> Seq.tryPick (fun now ->
        for from, count in messages now do
            liveness.Record(from, count, seconds now)

        match liveness.Missing(seconds now) with
        | [||] -> None
        | missing -> Some(now, missing))

let private liveness =
    [ test "no rank is missing that sends heartbeats and keeps up" {
          Expect.isNone (firstMissing 0 (fun now -> [ 0, int64 now; 1, int64 now; 2, int64 now - 1L ])) "missing"
      }

      test "a rank is missing after a timeout of silence" {
          let messages now =
              [ 0, 5L
                2, 5L
                if now <= 20.0 then
                    1, 5L ]

          Expect.equal (firstMissing 0 messages) (Some(31.0, [| 1 |])) "time, ranks"
      }

      test "a rank is missing that others wait for, even if its heartbeats arrive" {
          let count now = if now <= 20.0 then int64 now else 20L
          let messages now = [ 0, count now; 1, min 15L (count now); 2, count now ]
          Expect.equal (firstMissing 0 messages) (Some(31.0, [| 1 |])) "time, ranks"
      }

      test "a rank that the others wait for does not blame them" {
          Expect.isNone (firstMissing 0 (fun _ -> [ 0, 3L; 1, 4L; 2, 4L ])) "missing"
      }

      test "other ranks monitor rank 0" {
          let messages now = [ 1, int64 (min now 5.0); 0, min 3L (int64 now) ]
          Expect.equal (firstMissing 1 messages) (Some(16.0, [| 0 |])) "time, ranks"
          Expect.equal (Liveness(3, 2, seconds 10.0, seconds 0.0).Peers |> List.ofSeq) [ 0 ] "peers"
      }

      test "a process that was suspended blames nobody when it resumes" {
          let liveness = Liveness(2, 0, seconds 10.0, seconds 0.0)
          Expect.isEmpty (liveness.Missing(seconds 1.0)) "at the start"
          Expect.isEmpty (liveness.Missing(seconds 100.0)) "after a pause"
          liveness.Record(1, 1L, seconds 101.0)
          Expect.isEmpty (liveness.Missing(seconds 102.0)) "later"
      } ]

let private launchers =
    [ for what, variables, expected in
          [ "no launcher", [], 1
            "mpirun", [ "OMPI_COMM_WORLD_SIZE", "3" ], 3
            "another MPI's mpirun", [ "PMI_SIZE", "4"; "PMI_RANK", "0" ], 4
            "srun with PMIx", [ "PMIX_RANK", "0"; "SLURM_STEP_NUM_TASKS", "8" ], 8
            "a Slurm batch script without srun", [ "SLURM_STEP_NUM_TASKS", "8" ], 1 ] do
          test $"a process started by {what} is one of {expected}" {
              let values = Map variables
              let variable name : string | null = values |> Map.tryFind name |> Option.toObj
              Expect.equal (Launcher.ProcessesOf variable) expected "processes"
          } ]

let private sums =
    [ test "waiting for a pending sum times out; waiting for a failed sum throws at once" {
          let sum = MpiSum(0n, 0n, 1, NumberType.Float64)
          Expect.isFalse (sum.TryWait TimeSpan.Zero) "before"
          sum.Fail(DistributedException "the network is down")

          let failure =
              messageOf<DistributedException, _>(fun () -> sum.TryWait Threading.Timeout.InfiniteTimeSpan)

          Expect.equal failure "the network is down" "after"
      } ]

/// The error message for a library at that path.
let private rejection (path: string) =
    Environment.SetEnvironmentVariable(MpiLibrary.PathVariable, path)

    try
        messageOf<DistributedException, _> MpiLibrary.Load
    finally
        Environment.SetEnvironmentVariable(MpiLibrary.PathVariable, null)

let private libraries =
    [ test "several processes without Open MPI's library give an error that says what to install" {
          contains [ "/nowhere/libmpi.so"; "openmpi-bin"; MpiLibrary.PathVariable ] (rejection "/nowhere/libmpi.so")
      }

      test "a library that is not MPI is rejected before it is called" {
          contains [ "is not an MPI library"; "Open MPI" ] (rejection "libc.so.6")
      }

      test "another MPI's library is rejected by name before it is called" {
          let mpich = "/usr/lib/x86_64-linux-gnu/libmpich.so.12"

          if not (File.Exists mpich) then
              skiptest "Debian's libmpich12 is not installed"

          contains [ "MPICH"; "different arguments"; "mpirun" ] (rejection mpich)
      }

      test "a single process loads no library" {
          Environment.SetEnvironmentVariable(MpiLibrary.PathVariable, "/nowhere/libmpi.so")

          try
              Expect.isTrue (obj.ReferenceEquals(Ranks.Join(seconds 45.0, ignore), OneRank.Instance)) "alone"
          finally
              Environment.SetEnvironmentVariable(MpiLibrary.PathVariable, null)
      } ]

let tests =
    testList
        "ranks"
        [ testList "liveness" liveness
          testList "launchers" launchers
          testList "sums" sums
          // These tests set an environment variable.
          testSequenced (testList "libraries" libraries) ]
