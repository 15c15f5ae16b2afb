#!/bin/sh
# Two network namespaces of this machine as two nodes with a slow link between them, and a measurement over it. As root, with Open MPI and iproute2:
#   experiments/cluster/namespaces.sh 200mbit artifacts/normfree/normfree bench train --arch reactnet-18 --batch 8 --threads 1 --predict 2
# The first argument is the bandwidth of the link in each direction, as tc has it.
set -e
rate=$1
shift
agent=$(mktemp)

clean() {
    ip netns del nfa 2>/dev/null || true
    ip netns del nfb 2>/dev/null || true
    rm -f "$agent"
}

trap clean EXIT INT TERM

# In the place of ssh: mpirun calls it with the other node's address and a command.
cat >"$agent" <<'AGENT'
#!/bin/sh
shift
exec ip netns exec nfb unshare --uts sh -c "hostname nfb; $*"
AGENT
chmod +x "$agent"

ip netns add nfa
ip netns add nfb
ip link add nfa0 netns nfa type veth peer name nfb0 netns nfb

for node in a:1 b:2; do
    name=nf${node%:*}
    ip -n "$name" addr add "10.77.0.${node#*:}/24" dev "${name}0"
    ip -n "$name" link set "${name}0" up
    ip -n "$name" link set lo up
    tc -n "$name" qdisc add dev "${name}0" root tbf rate "$rate" burst 256kb latency 50ms
done

OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 ip netns exec nfa mpirun -n 2 --host 10.77.0.1,10.77.0.2 --bind-to none \
    --mca plm_rsh_agent "$agent" --mca btl tcp,self --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 "$@"
