#!/usr/bin/env bash
# A real SLURM cluster on one Debian machine: controller, accounting and several node daemons, all on the loopback address.
#
#   slurm.sh install   install the packages (Debian 12: SLURM 22.05); no daemon is started by them
#   slurm.sh start     write the configuration and start what does not run yet
#   slurm.sh env       print the lines that make clients use this cluster:  eval "$(slurm.sh env)"
#   slurm.sh stop      cancel all jobs and end every daemon that `start` started, nothing else
#   slurm.sh purge     stop, and remove the folder of the cluster
#
# The configuration is found through SLURM_CONF alone, so that several clusters live side by side: give each one its own
# folder, ports and prefix. They share one munge, which is stopped with the last cluster.
#
#   CLUSTER_DIR         folder of the cluster: etc, run (pid files), log, state, spool      /var/lib/evercast-slurm
#   CLUSTER_NAME        its name                                                            evercast
#   CLUSTER_PREFIX      nodes are PREFIXc1, PREFIXc2, ... (CPU) and PREFIXg1, ... (GPU)      ev
#   CLUSTER_PORT        PORT: controller, PORT+1: accounting, PORT+11 and up: nodes         16800
#   CLUSTER_CPU_NODES   nodes of partition cpu                                              3
#   CLUSTER_GPU_NODES   nodes of partition gpu                                              2
#   CLUSTER_CPUS        cores per node, declared, not counted                               4
#   CLUSTER_GPUS        GPUs per GPU node; their device files are null devices              2
#   CLUSTER_MEMORY_MB   memory per node, MB, declared                                       6000
#   CLUSTER_ACCOUNTING  1: slurmdbd with MariaDB (sacct); 0: none, and `start` is faster    1
#   CLUSTER_USERS       users who may submit, besides root; they must exist                 (none)
#   CLUSTER_PATIENCE    seconds until a silent node is given up                             20
set -euo pipefail

dir=${CLUSTER_DIR:-/var/lib/evercast-slurm}
name=${CLUSTER_NAME:-evercast}
prefix=${CLUSTER_PREFIX-ev}
port=${CLUSTER_PORT:-16800}
cpu_nodes=${CLUSTER_CPU_NODES:-3}
gpu_nodes=${CLUSTER_GPU_NODES:-2}
cpus=${CLUSTER_CPUS:-4}
gpus=${CLUSTER_GPUS:-2}
memory=${CLUSTER_MEMORY_MB:-6000}
accounting=${CLUSTER_ACCOUNTING:-1}
patience=${CLUSTER_PATIENCE:-20}
host=$(hostname -s)
export SLURM_CONF=$dir/etc/slurm.conf

tell() { printf 'slurm.sh: %s\n' "$*" >&2; }
fail() { tell "$*"; exit 6; }

nodes() {  # the names of all nodes, CPU nodes first
  local i
  for ((i = 1; i <= cpu_nodes; i++)); do echo "${prefix}c$i"; done
  for ((i = 1; i <= gpu_nodes; i++)); do echo "${prefix}g$i"; done
}

until_true() {  # until_true SECONDS WHAT COMMAND...
  local tries=$(($1 * 5)) what=$2
  shift 2
  while ! "$@" >/dev/null 2>&1; do
    ((tries-- > 0)) || fail "$what did not come up; see $dir/log"
    sleep 0.2
  done
}

is_program() {  # is_program PID PROGRAM: the process lives and is that program
  [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

runs() {  # runs PIDFILE PROGRAM: the process that the file names lives and is that program
  local pid
  pid=$(tr -d '[:space:]' 2>/dev/null <"$1") && [ -n "$pid" ] && is_program "$pid" "$2"
} 2>/dev/null

end_process() {  # end_process PIDFILE PROGRAM: ask, wait 15 s, then force; a daemon removes its file before it is gone
  local pid tries=75
  if runs "$1" "$2"; then
    pid=$(tr -d '[:space:]' <"$1")
    kill -TERM "$pid" 2>/dev/null || true
    while is_program "$pid" "$2" && ((tries-- > 0)); do sleep 0.2; done
    if is_program "$pid" "$2"; then
      tell "forcing $2 ($pid)"
      kill -KILL "$pid" 2>/dev/null || true
    fi
  fi
  rm -f "$1"
}

install_packages() {
  local barrier=/usr/sbin/policy-rc.d made=0 output
  if [ ! -e $barrier ]; then printf '#!/bin/sh\nexit 101\n' >$barrier && chmod 755 $barrier && made=1; fi
  output=$(mktemp)
  export DEBIAN_FRONTEND=noninteractive
  if ! { apt-get update -q && apt-get install -y -q --no-install-recommends slurmctld slurmd slurmdbd slurm-client \
    slurm-wlm-basic-plugins slurm-wlm-mysql-plugin munge mariadb-server; } >"$output" 2>&1; then
    tail -n 30 "$output" >&2
    if [ $made = 1 ]; then rm -f $barrier; fi
    fail "the packages cannot be installed"
  fi
  if [ $made = 1 ]; then rm -f $barrier; fi
  rm -f "$output"
  tell "$(slurmctld -V) is installed"
}

start_munge() {
  install -d -m 755 -o munge -g munge /run/munge
  install -d -m 711 -o munge -g munge /var/lib/munge
  install -d -m 700 -o munge -g munge /var/log/munge /etc/munge
  if [ ! -s /etc/munge/munge.key ]; then head -c 256 /dev/urandom >/etc/munge/munge.key; fi
  chown munge:munge /etc/munge/munge.key
  chmod 400 /etc/munge/munge.key
  if ! munge -n </dev/null >/dev/null 2>&1; then
    rm -f /run/munge/munge.socket.2*
    runuser -u munge -- /usr/sbin/munged
    : >/run/munge/started-for-tests
  fi
  until_true 10 munge sh -c 'munge -n | unmunge'
}

write_configuration() {
  local node number=0 tracking i
  # A cgroup holds the processes of a job together and limits their memory. Without one, the tree of processes is followed.
  if [ -d /sys/fs/cgroup/freezer ] && [ -w /sys/fs/cgroup/freezer ]; then
    tracking=$'ProctrackType=proctrack/cgroup\nTaskPlugin=task/cgroup'
    cat >"$dir/etc/cgroup.conf" <<-CONF
	CgroupPlugin=cgroup/v1
	CgroupMountpoint=/sys/fs/cgroup
	ConstrainRAMSpace=yes
	ConstrainSwapSpace=no
	ConstrainCores=no
	ConstrainDevices=no
	CONF
  else
    tracking=$'ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherParams=OverMemoryKill'
    rm -f "$dir/etc/cgroup.conf"
  fi
  cat >"$dir/etc/slurm.conf.new" <<-CONF
	ClusterName=$name
	SlurmctldHost=$host(127.0.0.1)
	SlurmctldPort=$port
	CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
	AuthType=auth/munge
	# a requeued job waits this long, s, until the credential of its first start cannot be used any more
	AuthInfo=cred_expire=20
	SlurmUser=slurm
	StateSaveLocation=$dir/state
	SlurmdSpoolDir=$dir/spool/%n
	SlurmctldPidFile=$dir/run/slurmctld.pid
	SlurmdPidFile=$dir/run/slurmd.%n.pid
	SlurmctldLogFile=$dir/log/slurmctld.log
	SlurmdLogFile=$dir/log/slurmd.%n.log
	$tracking
	SwitchType=switch/none
	MpiDefault=none
	MailProg=/bin/true
	DefMemPerCPU=500
	ReturnToService=2
	SlurmctldTimeout=30
	SlurmdTimeout=$patience
	KillWait=5
	MinJobAge=600
	SchedulerType=sched/backfill
	SchedulerParameters=bf_interval=5,sched_interval=5,batch_sched_delay=0
	SelectType=select/cons_tres
	SelectTypeParameters=CR_CPU_Memory
	# the nodes are what is declared below, whatever this machine has
	SlurmdParameters=config_overrides
	JobRequeue=1
	MaxJobCount=50000
	MaxArraySize=10001
	PropagateResourceLimits=NONE
	JobAcctGatherType=jobacct_gather/linux
	JobAcctGatherFrequency=2
	GresTypes=gpu
	CONF
  if [ "$accounting" = 1 ]; then
    cat >>"$dir/etc/slurm.conf.new" <<-CONF
	AccountingStorageType=accounting_storage/slurmdbd
	AccountingStorageHost=localhost
	AccountingStoragePort=$((port + 1))
	AccountingStorageTRES=gres/gpu
	AccountingStoreFlags=job_comment
	CONF
  fi
  : >"$dir/etc/gres.conf"
  for node in $(nodes); do
    number=$((number + 1))
    printf 'NodeName=%s NodeHostname=%s NodeAddr=127.0.0.1 Port=%d CPUs=%d RealMemory=%d' \
      "$node" "$host" $((port + 10 + number)) "$cpus" "$memory" >>"$dir/etc/slurm.conf.new"
    if ((number > cpu_nodes)); then
      printf ' Gres=gpu:fake:%d' "$gpus" >>"$dir/etc/slurm.conf.new"
      echo "NodeName=$node Name=gpu Type=fake File=$dir/run/$node-gpu[0-$((gpus - 1))]" >>"$dir/etc/gres.conf"
      for ((i = 0; i < gpus; i++)); do
        [ -e "$dir/run/$node-gpu$i" ] || mknod -m 666 "$dir/run/$node-gpu$i" c 1 3
      done
    fi
    echo >>"$dir/etc/slurm.conf.new"
  done
  echo "PartitionName=cpu Nodes=${prefix}c[1-$cpu_nodes] Default=YES MaxTime=24:00:00 DefaultTime=00:30:00 State=UP" >>"$dir/etc/slurm.conf.new"
  if ((gpu_nodes > 0)); then
    echo "PartitionName=gpu Nodes=${prefix}g[1-$gpu_nodes] MaxTime=24:00:00 DefaultTime=00:30:00 State=UP" >>"$dir/etc/slurm.conf.new"
  fi
  mv "$dir/etc/slurm.conf.new" "$dir/etc/slurm.conf"
}

start_accounting() {
  local socket=$dir/run/mysqld.sock
  local -a server=(--no-defaults --user=mysql --datadir="$dir/mysql" --socket="$socket" --pid-file="$dir/mysql/mariadbd.pid"
    --skip-networking --innodb-buffer-pool-size=64M --innodb-log-file-size=32M --innodb-flush-log-at-trx-commit=2
    --innodb-lock-wait-timeout=900 --performance-schema=OFF)
  install -d -m 755 -o mysql -g mysql "$dir/mysql"
  if [ ! -d "$dir/mysql/mysql" ]; then
    mariadb-install-db --no-defaults --user=mysql --datadir="$dir/mysql" --skip-test-db \
      --auth-root-authentication-method=socket >"$dir/log/mariadb-install.log" 2>&1 || fail "no database; see $dir/log/mariadb-install.log"
  fi
  if ! runs "$dir/mysql/mariadbd.pid" mariadbd; then
    setsid mariadbd "${server[@]}" >"$dir/log/mariadb.log" 2>&1 </dev/null &
    until_true 60 MariaDB mariadb-admin --no-defaults --socket="$socket" ping
  fi
  mariadb --no-defaults --socket="$socket" <<-SQL
	CREATE DATABASE IF NOT EXISTS slurm_acct_db;
	CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED VIA unix_socket;
	GRANT ALL ON slurm_acct_db.* TO slurm@localhost;
	SQL
  install -m 600 -o slurm -g slurm /dev/null "$dir/etc/slurmdbd.conf"
  cat >"$dir/etc/slurmdbd.conf" <<-CONF
	AuthType=auth/munge
	DbdHost=localhost
	DbdAddr=127.0.0.1
	DbdPort=$((port + 1))
	CommunicationParameters=NoInAddrAny
	SlurmUser=slurm
	LogFile=$dir/log/slurmdbd.log
	PidFile=$dir/run/slurmdbd.pid
	StorageType=accounting_storage/mysql
	StorageHost=localhost
	StorageUser=slurm
	StorageLoc=slurm_acct_db
	CONF
  # the client library of slurmdbd finds the socket of a database on "localhost" here
  runs "$dir/run/slurmdbd.pid" slurmdbd || runuser -u slurm -- env MYSQL_UNIX_PORT="$socket" slurmdbd
  until_true 60 slurmdbd sacctmgr -n list cluster
}

register_users() {
  local user
  sacctmgr -n list cluster format=cluster%40 | grep -qw "$name" || sacctmgr -i add cluster "$name" >/dev/null
  sacctmgr -n list account format=account%40 | grep -qw tests ||
    sacctmgr -i add account tests Cluster="$name" Description=tests Organization=tests >/dev/null
  for user in root ${CLUSTER_USERS:-}; do
    id "$user" >/dev/null 2>&1 || fail "there is no user $user"
    sacctmgr -n list assoc where user="$user" account=tests format=user%40 | grep -qw "$user" ||
      sacctmgr -i add user "$user" Account=tests DefaultAccount=tests >/dev/null
  done
}

start() {
  local node program
  for program in munged slurmctld slurmd sinfo; do
    command -v $program >/dev/null || fail "$program is missing; run: $0 install"
  done
  getent hosts "$host" >/dev/null || echo "127.0.0.1 $host" >>/etc/hosts
  install -d -m 755 "$dir" "$dir/etc" "$dir/spool"
  install -d -m 755 -o slurm -g slurm "$dir/log" "$dir/state"
  install -d -m 777 -o slurm -g slurm "$dir/run"
  start_munge
  write_configuration
  if [ "$accounting" = 1 ]; then
    start_accounting
    register_users
  fi
  runs "$dir/run/slurmctld.pid" slurmctld || runuser -u slurm -- slurmctld -f "$SLURM_CONF"
  until_true 30 slurmctld sh -c 'scontrol ping | grep -q UP'
  for node in $(nodes); do
    install -d -m 755 "$dir/spool/$node"
    runs "$dir/run/slurmd.$node.pid" slurmd || slurmd -N "$node" -f "$SLURM_CONF"
  done
  until_true 60 "every node" all_ready
  sinfo >&2
}

all_ready() {
  [ "$(sinfo -h -N -t idle,alloc,mix -o %N | sort -u | wc -l)" = $((cpu_nodes + gpu_nodes)) ]
}

stray_steps() {  # processes of jobs whose node daemon is gone: they listen at a socket in the spool folder
  local inode link
  awk -v d="$dir/spool/" 'index($8, d) == 1 { print $7 }' /proc/net/unix | sort -u | while read -r inode; do
    for link in /proc/[0-9]*/fd/*; do
      [ "$(readlink "$link" 2>/dev/null)" = "socket:[$inode]" ] && echo "$link" | cut -d/ -f3
    done
  done | sort -u
}

with_children() {  # with_children PID: the process and everything it started
  local child
  echo "$1"
  for child in $(awk -v parent="$1" '$1 == "PPid:" && $2 == parent { split(FILENAME, part, "/"); print part[3] }' \
    /proc/[0-9]*/status 2>/dev/null); do with_children "$child"; done
}

stop() {
  local node pid tries=50
  [ -d "$dir/run" ] || { tell "nothing runs in $dir"; return; }
  if [ -e "$SLURM_CONF" ] && timeout 5 scontrol ping 2>/dev/null | grep -q UP; then
    timeout 20 scancel --quiet --state=PENDING 2>/dev/null || true
    timeout 20 scancel --quiet --state=RUNNING 2>/dev/null || true
    while [ -n "$(timeout 5 squeue -h 2>/dev/null)" ] && ((tries-- > 0)); do sleep 0.2; done
  fi
  for node in "$dir"/run/slurmd.*.pid; do
    [ -e "$node" ] && end_process "$node" slurmd
  done
  for pid in $(stray_steps); do
    tell "ending a job step without a node ($pid)"
    kill -KILL $(with_children "$pid") 2>/dev/null || true
  done
  end_process "$dir/run/slurmctld.pid" slurmctld
  end_process "$dir/run/slurmdbd.pid" slurmdbd
  end_process "$dir/mysql/mariadbd.pid" mariadbd
  for node in $(nodes); do
    find /sys/fs/cgroup -maxdepth 8 -depth -type d -path "*/slurm_$node*" -exec rmdir {} + 2>/dev/null || true
  done
  if [ -e /run/munge/started-for-tests ] && ! grep -qx slurmctld /proc/[0-9]*/comm 2>/dev/null; then
    end_process /run/munge/munged.pid munged
    rm -f /run/munge/started-for-tests
  fi
  tell "the cluster in $dir is down"
}

action=${1:-}
case $action in
  install | start | stop | purge) [ "$(id -u)" = 0 ] || fail "only root can $action a cluster" ;;
esac
case $action in
  install) install_packages ;;
  start) start ;;
  env) echo "export SLURM_CONF=$SLURM_CONF" ;;
  stop) stop ;;
  purge) stop; rm -rf "$dir" ;;
  *) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2 ;;
esac
